package render

import "bytes"

// maxDimensions is Postgres' MAXDIM.
const maxDimensions = 6

// appendArray reads what array_out writes: {1,2}, {{1,2},{3,NULL}}, [0:1]={"a b","c"}.
// https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
func (t *Type) appendArray(dst, text []byte) ([]byte, bool) {
	p := parser{text: skipBounds(text), ok: true}
	out := t.appendDimension(dst, &p, maxDimensions)
	if p.broken || len(p.text) > 0 {
		return unreadable(dst, text)
	}
	return out, p.ok
}

// skipBounds leaves out the subscripts that array_out puts first when they do not begin at 1. to_json does not show them.
func skipBounds(text []byte) []byte {
	if len(text) > 0 && text[0] == '[' {
		if i := bytes.IndexByte(text, '='); i > 0 {
			return text[i+1:]
		}
	}
	return text
}

// parser is the text of a container that is still to be read. Broken means that the container itself cannot be
// understood; ok is false when only a value in it could not.
type parser struct {
	text   []byte
	broken bool
	ok     bool
}

// next reports whether the text goes on with c, and passes it.
func (p *parser) next(c byte) bool {
	if len(p.text) == 0 || p.text[0] != c {
		return false
	}
	p.text = p.text[1:]
	return true
}

func (p *parser) at(c byte) bool { return len(p.text) > 0 && p.text[0] == c }

func (t *Type) appendDimension(dst []byte, p *parser, depth int) []byte {
	if depth == 0 || !p.next('{') {
		p.broken = true
		return dst
	}
	dst = append(dst, '[')
	if p.next('}') {
		return append(dst, ']')
	}
	for {
		if p.at('{') {
			dst = t.appendDimension(dst, p, depth-1)
		} else {
			dst = t.appendElement(dst, p)
		}
		switch {
		case p.broken:
			return dst
		case p.next('}'):
			return append(dst, ']')
		case p.next(t.Delimiter):
			dst = append(dst, ',')
		default:
			p.broken = true
			return dst
		}
	}
}

func (t *Type) appendElement(dst []byte, p *parser) []byte {
	if p.next('"') {
		content, escaped := p.quoted(false)
		return p.value(dst, t.Elem, content, escaped)
	}
	end := 0
	for end < len(p.text) && p.text[end] != t.Delimiter && p.text[end] != '}' {
		if c := p.text[end]; c == '"' || c == '\\' || c == '{' {
			break // array_out would have quoted this element
		}
		end++
	}
	bare := p.text[:end]
	p.text = p.text[end:]
	switch {
	case end == 0:
		p.broken = true
		return dst
	case string(bare) == "NULL": // the word itself comes in quotes
		return append(dst, "null"...)
	}
	return p.value(dst, t.Elem, bare, false)
}

// quoted reads up to the closing quote, which it passes. In a composite a doubled quote stands for one quote; a backslash
// is an escape everywhere.
func (p *parser) quoted(doubled bool) (content []byte, escaped bool) {
	for i := 0; i < len(p.text); i++ {
		switch p.text[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			if doubled && i+1 < len(p.text) && p.text[i+1] == '"' {
				escaped = true
				i++
				continue
			}
			content, p.text = p.text[:i], p.text[i+1:]
			return content, escaped
		}
	}
	p.broken = true
	return nil, false
}

// value renders a value inside a container. A value with escapes is first spelled out behind dst, since a container in
// it has escapes of its own; the JSON made of it is then moved over that.
func (p *parser) value(dst []byte, t *Type, text []byte, escaped bool) []byte {
	if p.broken {
		return dst
	}
	if !escaped {
		out, ok := t.Append(dst, text)
		p.ok = p.ok && ok
		return out
	}
	start := len(dst)
	dst = appendUnescaped(dst, text)
	end := len(dst)
	dst, ok := t.Append(dst, dst[start:end])
	p.ok = p.ok && ok
	return append(dst[:start], dst[end:]...)
}

// appendUnescaped drops one level of escapes: every backslash, and the first of two quotes, gives way to what follows it.
func appendUnescaped(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		if (text[i] == '\\' || text[i] == '"') && i+1 < len(text) {
			i++
		}
		dst = append(dst, text[i])
	}
	return dst
}

// appendVector reads int2vector and oidvector: "1 2 3".
func (t *Type) appendVector(dst, text []byte) ([]byte, bool) {
	ok := true
	dst = append(dst, '[')
	for i := 0; len(text) > 0; i++ {
		part, rest, _ := bytes.Cut(text, []byte(" "))
		if i > 0 {
			dst = append(dst, ',')
		}
		out, fine := t.Elem.Append(dst, part)
		dst, text, ok = out, rest, ok && fine
	}
	return append(dst, ']'), ok
}
