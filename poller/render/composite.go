package render

import "freshet/shared/change"

// appendComposite reads what record_out writes: (1,"a ""b""",). An empty field is null, an empty string is "".
// https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX
func (t *Type) appendComposite(dst, text []byte) ([]byte, bool) {
	p := parser{text: text, ok: true}
	out := t.appendFields(dst, &p)
	if p.broken || len(p.text) > 0 {
		return unreadable(dst, text)
	}
	return out, p.ok
}

func (t *Type) appendFields(dst []byte, p *parser) []byte {
	p.broken = !p.next('(')
	dst = append(dst, '{')
	for i, field := range t.Fields {
		if i > 0 {
			p.broken = p.broken || !p.next(',')
			dst = append(dst, ',')
		}
		dst = change.AppendString(dst, []byte(field.Name))
		dst = append(dst, ':')
		dst = field.append(dst, p)
	}
	p.broken = p.broken || !p.next(')')
	return append(dst, '}')
}

func (f Field) append(dst []byte, p *parser) []byte {
	if p.next('"') {
		content, escaped := p.quoted(true)
		return p.value(dst, f.Type, content, escaped)
	}
	end := 0
	for end < len(p.text) && p.text[end] != ',' && p.text[end] != ')' {
		end++
	}
	bare := p.text[:end]
	p.text = p.text[end:]
	if end == 0 {
		return append(dst, "null"...)
	}
	return p.value(dst, f.Type, bare, false)
}
