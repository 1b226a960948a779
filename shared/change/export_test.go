package change

// Bare are the same messages without the keys that were come upon, for comparing with messages that were not read.
func Bare(messages []Message) []Message {
	for i := range messages {
		messages[i].key = met{}
	}
	return messages
}
