package change

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"unsafe"
)

// scanner walks over a JSON text once, checks every byte that it passes, and hands out what it passes as it stands. It takes what
// RFC 8259 takes, except that it does not ask whether strings are UTF-8. Once something is wrong, err says so, nothing follows any more, and
// what was handed out last means nothing.
type scanner struct {
	body  []byte
	text  string // the same bytes
	at    int    // the next byte; where a value is awaited, its first one
	depth int    // how many objects and arrays were entered and not left
	begun bool   // something of the innermost of them was read
	open  []byte // the memory of value
	err   error
}

// maxDepth is deeper than any json that Postgres takes with a usual max_stack_depth. Those who read a record later call themselves for
// each level, and a stack that is exhausted ends the process.
const maxDepth = 100_000

var (
	errNotJSON = errors.New("the body is not valid JSON")
	errTooDeep = fmt.Errorf("the body is nested deeper than %d levels", maxDepth)
)

// newScanner stands before the one value of the body.
func newScanner(body []byte) scanner {
	return scanner{body: body, text: unsafe.String(unsafe.SliceData(body), len(body)), at: space(body, 0)}
}

// end passes what follows the value: nothing.
func (s *scanner) end() error {
	if s.at = space(s.body, s.at); s.err == nil && s.at != len(s.body) {
		s.fail(errNotJSON)
	}
	return s.err
}

func (s *scanner) fail(err error) string {
	if s.err == nil {
		s.err = err
	}
	s.at = len(s.body)
	return ""
}

// next is the byte that a value begins with, or 0.
func (s *scanner) next() byte { return byteAt(s.body, s.at) }

// enter steps into the object or array that comes next. Its members or elements must then be read to the end.
func (s *scanner) enter() {
	if s.depth == maxDepth {
		s.fail(errTooDeep)
		return
	}
	s.at = space(s.body, s.at+1)
	s.depth++
	s.begun = false
}

// member goes to the next member of an object and returns its name; its value comes next. It leaves the object behind the last one.
func (s *scanner) member() (name string, ok bool) {
	if !s.more('}') {
		return "", false
	}
	start := s.at
	end, value, escaped := pastName(s.body, start)
	if value < 0 {
		s.fail(errNotJSON)
		return "", false
	}
	s.at = value
	if escaped {
		return decode(s.text[start:end]), true
	}
	return s.text[start+1 : end-1], true
}

// element goes to the next element of an array, which it leaves behind the last one.
func (s *scanner) element() bool { return s.more(']') }

func (s *scanner) more(closing byte) bool {
	i := s.at
	if s.begun {
		i = space(s.body, i)
	}
	switch c := byteAt(s.body, i); {
	case s.err != nil:
		return false
	case c == closing:
		s.at = i + 1
		s.depth--
		s.begun = true
		return false
	case !s.begun:
		s.begun = true
	case c == ',':
		s.at = space(s.body, i+1)
	default:
		s.fail(errNotJSON)
		return false
	}
	return true
}

// value passes the next value, whatever is in it, and returns its text.
func (s *scanner) value() string {
	body, i, open := s.body, s.at, s.open[:0]
	for {
		switch c := byteAt(body, i); c {
		case '"':
			i, _ = stringEnd(body, i+1)
		case '{', '[':
			if s.depth+len(open) == maxDepth {
				return s.fail(errTooDeep)
			}
			const toClosing = '}' - '{' // and ']' - '['
			open = append(open, c+toClosing)
			i = space(body, i+1)
			if byteAt(body, i) == c+toClosing {
				break
			}
			if c == '{' {
				_, i, _ = pastName(body, i)
			}
			if i < 0 {
				return s.fail(errNotJSON)
			}
			continue
		case 't', 'f', 'n':
			i = s.literalEnd(i)
		default:
			i = numberEnd(body, i)
		}
		if i < 0 {
			return s.fail(errNotJSON)
		}
		for {
			if len(open) == 0 {
				text := s.text[s.at:i]
				s.at, s.open = i, open
				return text
			}
			i = space(body, i)
			c, closing := byteAt(body, i), open[len(open)-1]
			i++
			if c == ',' {
				i = space(body, i)
				if closing == '}' {
					_, i, _ = pastName(body, i)
				}
				break
			}
			if c != closing {
				return s.fail(errNotJSON)
			}
			open = open[:len(open)-1]
		}
		if i < 0 {
			return s.fail(errNotJSON)
		}
	}
}

// pass goes behind the next value.
func (s *scanner) pass() bool {
	i := s.at
	switch byteAt(s.body, i) {
	case '"':
		i, _ = stringEnd(s.body, i+1)
	case '{', '[':
		s.value()
		return s.err == nil
	case 't', 'f', 'n':
		i = s.literalEnd(i)
	default:
		i = numberEnd(s.body, i)
	}
	if i < 0 {
		return false
	}
	s.at = i
	return true
}

// literalEnd is where true, false or null ends that begins at i, -1 when it is none of them.
func (s *scanner) literalEnd(i int) int {
	switch s.body[i] {
	case 't':
		return wordEnd(s.text, i, "true")
	case 'f':
		return wordEnd(s.text, i, "false")
	}
	return wordEnd(s.text, i, "null")
}

// The functions below take the place where something begins and return the place behind it, or -1 when it is not there.

// pastName passes a member's name, which ends at end, and the colon, behind which the value begins.
func pastName(body []byte, i int) (end, value int, escaped bool) {
	if byteAt(body, i) != '"' {
		return -1, -1, false
	}
	end, escaped = stringEnd(body, i+1)
	if end < 0 {
		return -1, -1, false
	}
	if i = space(body, end); byteAt(body, i) != ':' {
		return -1, -1, false
	}
	return end, space(body, i+1), escaped
}

// stringEnd begins behind the opening quote, and says whether there are escapes in the string.
func stringEnd(body []byte, i int) (end int, escaped bool) {
	for {
		for ; i+8 <= len(body); i += 8 {
			if hits := special(load(body, i)); hits != 0 {
				if i += bits.TrailingZeros64(hits) / 8; byteAt(body, i) == '"' {
					return i + 1, escaped
				}
				break
			}
		}
		for i < len(body) && body[i] >= ' ' && body[i] != '"' && body[i] != '\\' {
			i++ // the last few bytes of the body
		}
		switch byteAt(body, i) {
		case '"':
			return i + 1, escaped
		case '\\':
			if i = escapeEnd(body, i); i < 0 {
				return -1, true
			}
			escaped = true
		default:
			return -1, escaped
		}
	}
}

// plainEnd is stringEnd for strings that hardly ever have escapes.
func plainEnd(body []byte, i int) int {
	for ; i+8 <= len(body); i += 8 {
		if hits := special(load(body, i)); hits != 0 {
			if i += bits.TrailingZeros64(hits) / 8; byteAt(body, i) == '"' {
				return i + 1
			}
			break
		}
	}
	i, _ = stringEnd(body, i)
	return i
}

// special finds the bytes that cannot stand for themselves in a string: quotes, backslashes and control characters. The lowest
// bit that is set belongs to the first of the eight that is one; later bits may err.
func special(v uint64) uint64 {
	const (
		each = 0x0101010101010101
		high = 0x80 * each
	)
	// Subtracting n from a byte below n, and from no other below 0x80, sets its highest bit, and borrows from later bytes alone. Turning
	// bit 1 makes the quote 0x20, next to the control characters, and leaves those among themselves.
	quote, slash := v^0x02*each, v^'\\'*each
	return ((quote-0x21*each)&^quote | (slash-each)&^slash) & high
}

func escapeEnd(body []byte, i int) int {
	switch byteAt(body, i+1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for j := i + 2; j < i+6; j++ {
			if hexValue[byteAt(body, j)] > 15 {
				return -1
			}
		}
		return i + 6
	}
	return -1
}

// numberEnd looks first for what most numbers are: fewer than eight digits, and perhaps as few behind a point.
func numberEnd(body []byte, i int) int {
	if i+1+7+1+8 > len(body) { // a sign, digits, a point, and what is loaded behind it
		return longNumberEnd(body, i)
	}
	j := i
	if body[j] == '-' {
		j++
	}
	v := load(body, j)
	n := bits.TrailingZeros64(noDigit(v)) / 8
	if n == 0 || n == 8 || n > 1 && byte(v) == '0' {
		return longNumberEnd(body, i)
	}
	j += n
	c := byte(v >> (8 * n))
	if c == '.' {
		v = load(body, j+1)
		if n = bits.TrailingZeros64(noDigit(v)) / 8; n == 0 || n == 8 {
			return longNumberEnd(body, i)
		}
		j += 1 + n
		c = byte(v >> (8 * n))
	}
	if c == '.' || c == 'e' || c == 'E' {
		return longNumberEnd(body, i)
	}
	return j
}

func longNumberEnd(body []byte, i int) int {
	if byteAt(body, i) == '-' {
		i++
	}
	if byteAt(body, i) == '0' {
		i++
	} else if i = digitsEnd(body, i); i < 0 {
		return -1
	}
	if byteAt(body, i) == '.' {
		if i = digitsEnd(body, i+1); i < 0 {
			return -1
		}
	}
	if c := byteAt(body, i); c == 'e' || c == 'E' {
		i++
		if c := byteAt(body, i); c == '+' || c == '-' {
			i++
		}
		return digitsEnd(body, i)
	}
	return i
}

// digitsEnd wants one digit at least.
func digitsEnd(body []byte, i int) int {
	if !isDigit(byteAt(body, i)) {
		return -1
	}
	for ; i+8 <= len(body); i += 8 {
		if hits := noDigit(load(body, i)); hits != 0 {
			return i + bits.TrailingZeros64(hits)/8
		}
	}
	for ; i < len(body) && isDigit(body[i]); i++ {
	}
	return i
}

// noDigit finds the bytes that are no digits, in the manner of special.
func noDigit(v uint64) uint64 {
	const (
		each = 0x0101010101010101
		high = 0x80 * each
	)
	// Digits become 0 to 9, and no other byte does. Adding then sets the highest bit of all that is above 9 and below 0x80.
	v ^= '0' * each
	return (v + (0x80-10)*each | v) & high
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func wordEnd(text string, i int, word string) int {
	if !strings.HasPrefix(text[i:], word) {
		return -1
	}
	return i + len(word)
}

// space passes white space, of which there may be none.
func space(body []byte, i int) int {
	for uint(i) < uint(len(body)) && body[i] <= ' ' && (body[i] == ' ' || body[i] == '\n' || body[i] == '\t' || body[i] == '\r') {
		i++
	}
	return i
}

// byteAt is the byte at i, or 0, which begins nothing in JSON, behind the end.
func byteAt(body []byte, i int) byte {
	if uint(i) < uint(len(body)) {
		return body[i]
	}
	return 0
}
