package change

import "strings"

// What stands before the messages is the same in every batch of a poller but for a few numbers. It is read here where it is spelled as
// AppendHead spells it; encoding/json takes as long as ten messages for it, and reads whatever is spelled in another way.

// plainly reads JSON that it expects to be just so and knows to be valid. Once it is not as expected, ok is false and stays so.
type plainly struct {
	rest string
	ok   bool
}

// is passes this text.
func (p *plainly) is(text string) {
	after, found := strings.CutPrefix(p.rest, text)
	p.rest, p.ok = after, p.ok && found
}

// string reads what is in quotes, and keeps it longer than the body: the names of sinks outlive requests. What is not ASCII, or is escaped, is
// left to others.
func (p *plainly) string() string {
	p.is(`"`)
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			text := strings.Clone(p.rest[:i])
			p.rest = p.rest[i+1:]
			return text
		case c >= 0x80 || c == '\\':
			p.ok = false
			return ""
		}
	}
	p.ok = false
	return ""
}

// number reads a whole number of few enough digits for any type.
func (p *plainly) number() (n uint64) {
	i := 0
	for ; i < len(p.rest) && isDigit(p.rest[i]); i++ {
		n = n*10 + uint64(p.rest[i]-'0')
	}
	p.ok = p.ok && i > 0 && i <= 9
	p.rest = p.rest[i:]
	return n
}

// numbers reads a list of them, none of which is taken to be no list.
func (p *plainly) numbers() (all []uint64) {
	p.is("[")
	all = make([]uint64, 0, 8) // as many as there are lanes by default
	for p.ok {
		all = append(all, p.number())
		if !strings.HasPrefix(p.rest, ",") {
			break
		}
		p.is(",")
	}
	p.is("]")
	return all
}

func (p *plainly) end() bool { return p.ok && p.rest == "" }

func (p *plainly) source(s *Source) bool {
	var read Source
	p.is(`{"system":`)
	read.System = p.string()
	p.is(`,"timeline":`)
	read.Timeline = int32(p.number())
	p.is(`,"database":`)
	read.Database = p.string()
	p.is(`,"slot":`)
	read.Slot = p.string()
	p.is(`}`)
	if p.end() {
		*s = read
	}
	return p.end()
}

func (p *plainly) fence(f *Fence) bool {
	var read Fence
	p.is(`{"sink":`)
	read.Sink = p.string()
	p.is(`,"session":`)
	read.Session = p.string()
	p.is(`,"lane":`)
	read.Lane = int(p.number())
	p.is(`,"seq":`)
	read.Seq = p.number()
	p.is(`,"after":`)
	read.After = p.numbers()
	p.is(`,"through":`)
	through, err := ParsePosition(p.string())
	p.ok = p.ok && err == nil
	p.is(`,"seal":`)
	seal, err := ParseLSN(p.string())
	p.ok = p.ok && err == nil
	read.Through, read.Seal = through, seal
	p.is(`}`)
	if p.end() {
		*f = read
	}
	return p.end()
}
