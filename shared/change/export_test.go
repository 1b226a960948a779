package change

// ParseInPieces is ParseBatchInPieces with pieces of so many messages.
func ParseInPieces(b *Batch, body []byte, piece int, each func([]Message) bool) error {
	return parseInPieces(b, body, piece, each)
}

// Bare are the same messages without the keys that were come upon, for comparing with messages that were not read.
func Bare(messages []Message) []Message {
	for i := range messages {
		messages[i].key = met{}
	}
	return messages
}
