package rules

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// members finds the named members of a JSON object and puts their raw values into the same places of values, an empty string
// where there is none. It reads the object once, no further than it has to, and takes names as they are: a column may be called "a.b" or "#",
// which a path would misread.
func members(object string, names, values []string) {
	clear(values)
	missing := len(names)
	at := skipSpace(object, 0)
	if at >= len(object) || object[at] != '{' {
		return
	}
	for at++; missing > 0; {
		at = skipSpace(object, at)
		if at >= len(object) || object[at] != '"' {
			return // the closing brace
		}
		nameEnd := skipString(object, at)
		start := skipSpace(object, skipSpace(object, nameEnd)+1)
		end := skipValue(object, start)
		if end <= start {
			return // not JSON
		}
		if i := place(names, object[at:nameEnd]); i >= 0 && values[i] == "" {
			values[i] = object[start:end]
			missing--
		}
		at = skipSpace(object, end) + 1 // the comma
	}
}

// place is the index of the name that quoted, a JSON string, spells; -1 when it is none of them.
func place(names []string, quoted string) int {
	name := strings.Trim(quoted, `"`)
	if strings.IndexByte(quoted, '\\') >= 0 {
		name = gjson.Parse(quoted).Str
	}
	return slices.Index(names, name)
}

// The skips below take the place where something begins and answer the place behind it, at most the length of the text.

func skipSpace(text string, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r') {
		at++
	}
	return min(at, len(text))
}

func skipString(text string, at int) int {
	if end := strings.IndexByte(text[at+1:], '"'); end < 0 {
		return len(text)
	} else if strings.IndexByte(text[at+1:at+1+end], '\\') < 0 {
		return at + end + 2
	}
	for at++; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(text)
}

func skipValue(text string, at int) int {
	if at >= len(text) {
		return len(text)
	}
	switch text[at] {
	case '"':
		return skipString(text, at)
	case '{', '[':
		return skipNested(text, at)
	}
	for at < len(text) && text[at] > ' ' && text[at] != ',' && text[at] != '}' {
		at++
	}
	return at
}

func skipNested(text string, at int) int {
	depth := 0
	for at < len(text) {
		switch text[at] {
		case '"':
			at = skipString(text, at)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if at++; depth == 0 {
			return at
		}
	}
	return len(text)
}
