package change

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// ParseBatch reads a batch. The result points into body, which must not change as long as the batch is used.
// An unknown member is ignored, so that an older function understands a newer poller.
func ParseBatch(body []byte) (Batch, error) {
	var b Batch
	if err := ParseBatchInto(&b, body); err != nil {
		return Batch{}, err
	}
	return b, nil
}

// ParseBatchInto is ParseBatch into the memory of an earlier batch's messages. After an error b is empty.
func ParseBatchInto(b *Batch, body []byte) error {
	broken, err := ParseBatchApart(b, body)
	if err == nil && len(broken) > 0 {
		b.Reset()
		err = broken[0].Err
	}
	return err
}

// Broken is a message that cannot be read although its batch can.
type Broken struct {
	Raw string
	Err error
}

// ParseBatchApart is ParseBatchInto for those who do something about messages that cannot be read: the batch is without them.
func ParseBatchApart(b *Batch, body []byte) ([]Broken, error) {
	b.Reset()
	p := parser{scanner: newScanner(body)}
	err := p.batch(b)
	if err == nil {
		err = p.end()
	}
	if err != nil {
		b.Reset()
		return nil, worse(body, err)
	}
	return p.broken, nil
}

// pieceMessages is how many messages are handed over at a time: they stay in the processor's nearest cache.
const pieceMessages = 64

// ErrInPieces says that a body cannot be read in pieces. Whoever wants to know more reads it as a whole.
var ErrInPieces = errors.New("the batch cannot be read in pieces")

// ParseBatchInPieces is ParseBatchInto for those who look at each message once, in order: it hands over some at a time, which are valid until each returns,
// and leaves the last ones in b. Only a batch that begins with its fence is handed over before its end; any other is in b as a whole. each may refuse. After an
// error, which says no more than that this is not the way to read the body, b is empty, and what was handed over may be of no batch at all.
func ParseBatchInPieces(b *Batch, body []byte, each func([]Message) (ok bool)) error {
	return parseInPieces(b, body, pieceMessages, each)
}

func parseInPieces(b *Batch, body []byte, piece int, each func([]Message) bool) error {
	b.Reset()
	p := parser{scanner: newScanner(body), each: each, piece: piece}
	err := p.batch(b)
	if err == nil {
		err = p.end()
	}
	if p.handed > 0 {
		clear(b.Messages[len(b.Messages):piece]) // of the piece before
	}
	if err != nil || len(p.broken) > 0 {
		b.Reset()
		return ErrInPieces
	}
	return nil
}

// Reset empties the batch. It keeps the memory of its messages, and nothing that they point to.
func (b *Batch) Reset() {
	clear(b.Messages)
	*b = Batch{Messages: b.Messages[:0]}
}

// worse is what to say of a body in which err was found: whether it is JSON at all comes first.
func worse(body []byte, err error) error {
	s := newScanner(body)
	s.value()
	if broken := s.end(); broken != nil {
		return broken
	}
	return err
}

// parser reads a batch in one pass. An error that it finds may be due to a body that is broken a little further on, see worse.
type parser struct {
	scanner
	patterns [4]pattern // of the last tables
	learned  int        // how many there were
	matched  int        // which of them the last metadata was like,
	again    bool       // which was of the same transaction as that before it, as the next will be
	// The last kinds of messages, how many there were, and how many messages were like them.
	spellings     [4]spelling
	learnt, alike int
	before        *Message // of the one that is being read; nil where that cannot be read, or there is none
	gap           bool     // the last one could not be read
	keys          keyCache
	broken        []Broken
	each          func([]Message) bool // takes messages over before the end; nil when they are to stay
	piece         int                  // how many at a time
	handed        int                  // how many it has taken
	lastHanded    Message
}

func (p *parser) batch(b *Batch) (err error) {
	if p.next() != '{' {
		return errors.New(`the body is not a JSON object such as {"messages":[...]}`)
	}
	seen := false
	p.enter()
	for err == nil {
		name, ok := p.member()
		if !ok {
			break
		}
		switch name {
		case "id":
			b.ID, err = stringMember("id", p.value())
		case "source":
			raw := p.value()
			if plain := (plainly{raw, true}); !plain.source(&b.Source) {
				err = decodeMember("source", raw, &b.Source)
			}
		case "fence":
			if raw := p.value(); raw != "null" {
				b.Fence = new(Fence)
				if plain := (plainly{raw, true}); !plain.fence(b.Fence) {
					err = decodeMember("fence", raw, b.Fence)
				}
			}
		case "messages":
			if seen && p.handed > 0 {
				return ErrInPieces // these are to replace what was handed over
			}
			seen = true
			err = p.messages(b)
		default:
			p.value()
		}
	}
	if err == nil && !seen {
		return errors.New(`the member "messages" is missing`)
	}
	return err
}

func (p *parser) messages(b *Batch) error {
	if p.next() != '[' {
		return errors.New(`"messages" is not an array`)
	}
	p.enter()
	clear(b.Messages) // of a member of the same name before
	b.Messages = b.Messages[:0]
	if b.Messages == nil {
		b.Messages = []Message{}
	}
	inPieces := p.each != nil && b.Fence != nil
	for start := p.at; p.element(); {
		if inPieces && len(b.Messages) == p.piece && !p.hand(b) {
			return ErrInPieces
		}
		i := len(b.Messages)
		if inPieces && i == 0 {
			b.Messages = slices.Grow(b.Messages, p.piece)
		}
		if i == cap(b.Messages) {
			b.Messages = slices.Grow(b.Messages, p.expected(i, start))
		}
		b.Messages = append(b.Messages, Message{})
		begins, depth := p.at, p.depth
		p.before = nil
		switch {
		case p.gap:
		case i > 0:
			p.before = &b.Messages[i-1]
		case p.handed > 0:
			p.before = &p.lastHanded
		}
		err := p.message(&b.Messages[i])
		if p.gap = err != nil; err != nil && p.err == nil {
			b.Messages[i] = Message{}
			b.Messages = b.Messages[:i]
			p.at, p.depth, p.begun = begins, depth, true
			p.broken = append(p.broken, Broken{Raw: p.value(), Err: fmt.Errorf("message %d: %w", i+len(p.broken), err)})
		}
	}
	return nil
}

// hand hands the messages over that were read so far.
func (p *parser) hand(b *Batch) bool {
	p.lastHanded = b.Messages[len(b.Messages)-1]
	p.handed += len(b.Messages)
	ok := p.each(b.Messages)
	b.Messages = b.Messages[:0]
	return ok
}

// expected is for how many more messages there should be room, judging by the length of those since start. Only what was really sent
// gets much memory: the first message may be short, and the second fill the body.
func (p *parser) expected(read, start int) int {
	if read == 0 {
		return 1
	}
	more := (len(p.body) - p.at) / ((p.at - start) / read)
	return min(1+more+more/16, max(1024, read))
}

func (p *parser) message(m *Message) (err error) {
	if p.spelled(m) {
		return nil
	}
	if p.next() != '{' {
		return errors.New("not a JSON object")
	}
	start := p.at
	var record, changes, metadata, ordinal span
	var nth uint32
	p.enter()
	for err == nil {
		name, ok := p.member()
		if !ok {
			break
		}
		here := p.at
		switch name {
		case "action":
			m.Action, err = ParseAction(text(p.value()))
		case "record":
			m.Record, err = objectMember("record", p.value())
			record = span{here, p.at}
		case "changes":
			m.Changes, err = objectMember("changes", p.value())
			changes = span{here, p.at}
		case "metadata":
			err = p.metadata(&m.Metadata)
			metadata = span{here, p.at}
		case "ordinal":
			nth, err = ordinalMember(p.value())
			ordinal = span{here, p.at}
		default:
			p.value()
		}
	}
	said := m.Action
	if short := ordinal.to > 0 && metadata.to == 0; err == nil && short {
		if p.before == nil {
			return errors.New(`it has an "ordinal" instead of "metadata", as a message has that is like the one before it, and there is none that could be read`)
		}
		if m.Action == "" {
			m.Action = p.before.Action
		}
		m.Metadata = p.before.Metadata
		m.Metadata.Position.Ordinal = nth
	} else {
		ordinal = span{}
	}
	switch {
	case err != nil:
		return err
	case m.Action == "":
		return errors.New(`the member "action" is missing`)
	case m.Metadata.Table == "":
		return errors.New(`the member "metadata.table_name" is missing`)
	case m.Record == "" && m.Action != Truncate:
		return fmt.Errorf(`the member "record" is missing, and action %q needs it`, m.Action)
	}
	if p.err == nil {
		p.learn(start, said, parts{record, changes, metadata, ordinal}, m)
	}
	return nil
}

// text is what a string says, and nothing for any other value.
func text(raw string) string {
	if byteOf(raw) != '"' {
		return ""
	}
	if strings.IndexByte(raw, '\\') >= 0 {
		return decode(raw)
	}
	return raw[1 : len(raw)-1]
}

// decode reads a string with escapes in it.
func decode(raw string) string { return gjson.Parse(raw).Str }

// byteOf is the first byte of a value, which tells its type; 0 for the text of a broken one.
func byteOf(raw string) byte {
	if raw == "" {
		return 0
	}
	return raw[0]
}

func stringMember(name, raw string) (string, error) {
	if c := byteOf(raw); c != '"' && c != 'n' {
		return "", fmt.Errorf("%q is not a string", name)
	}
	return text(raw), nil
}

func ordinalMember(raw string) (uint32, error) {
	n, ok := parseOrdinal(text(raw))
	if !ok {
		return 0, errors.New(`"ordinal" is not eight hex digits such as "0000001F", the end of a position`)
	}
	return n, nil
}

// objectMember returns the text of an object, or nothing for null.
func objectMember(name, raw string) (string, error) {
	switch byteOf(raw) {
	case '{':
		return raw, nil
	case 'n':
		return "", nil
	}
	return "", fmt.Errorf("%q is not an object", name)
}

func decodeMember(name, raw string, into any) error {
	if err := json.Unmarshal([]byte(raw), into); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	return nil
}
