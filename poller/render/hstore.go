package render

// appendHStore reads "a"=>"1", "b"=>NULL and writes what the extension's cast to json writes: {"a": "1", "b": null}.
// https://www.postgresql.org/docs/current/hstore.html
func appendHStore(dst, text []byte) ([]byte, bool) {
	p := parser{text: text, ok: true}
	out := append(dst, '{')
	for i := 0; len(p.text) > 0 && !p.broken; i++ {
		if i > 0 {
			p.broken = !p.next(',') || !p.next(' ')
			out = append(out, ", "...)
		}
		out = appendPair(out, &p)
	}
	if p.broken {
		return unreadable(dst, text)
	}
	return append(out, '}'), true
}

func appendPair(dst []byte, p *parser) []byte {
	dst = p.appendQuoted(dst)
	p.broken = p.broken || !p.next('=') || !p.next('>')
	dst = append(dst, ": "...)
	const null = "NULL"
	if len(p.text) >= len(null) && string(p.text[:len(null)]) == null {
		p.text = p.text[len(null):]
		return append(dst, "null"...)
	}
	return p.appendQuoted(dst)
}

// appendQuoted renders a string in quotes.
func (p *parser) appendQuoted(dst []byte) []byte {
	if p.broken = p.broken || !p.next('"'); p.broken {
		return dst
	}
	content, escaped := p.quoted(false)
	return p.value(dst, plain, content, escaped)
}
