package directory

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/license"
)

const (
	maxExpression = 1024 // bytes
	maxParts      = 32
	// MaxValue is how many bytes a value of a directory, and what an expression makes of values, may have.
	MaxValue = 1024
)

// Expression makes one text of the attributes of an entry: literal text mixed with $attribute$, where an attribute may be
// rewritten by a substitution, $attribute|'/regex/replacement/option'$. The zero Expression gives nothing.
type Expression struct {
	text  string
	parts []part
}

// part is literal text, or an attribute with its substitution, if it has one.
type part struct {
	literal   string
	attribute string // lower case; empty for literal text
	match     *regexp.Regexp
	replace   []piece
	all       bool // replace every match
}

// piece of a replacement is literal text or, where it is not negative, the group of that number.
type piece struct {
	literal string
	group   int
}

var attributeName = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)*)(;[A-Za-z0-9-]+)*$`)

// ParseExpression reads an expression. The refusal names what is wrong and where.
func ParseExpression(text string) (Expression, error) {
	if len(text) > maxExpression || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return Expression{}, badExpression("use at most 1024 characters of text", text[:min(len(text), 40)]+"…", "it is too long or no text")
	}
	x := Expression{text: text}
	for rest := text; rest != ""; {
		before, after, dollar := strings.Cut(rest, "$")
		if before != "" {
			x.parts = append(x.parts, part{literal: before})
		}
		if !dollar {
			break
		}
		p, left, err := parsePart(text, after)
		if err != nil {
			return Expression{}, err
		}
		x.parts = append(x.parts, p)
		rest = left
	}
	if len(x.parts) > maxParts {
		return Expression{}, badExpression("use fewer attributes", text, "it has more than 32 parts")
	}
	return x, nil
}

func badExpression(hint, text, message string, args ...any) error {
	return license.Refuse(license.KindInvalid, "bad-expression", hint, "the mapping expression %q is refused: "+message, append([]any{text}, args...)...)
}

// parsePart reads what follows an opening dollar sign, up to the closing one.
func parsePart(text, rest string) (p part, left string, err error) {
	end := strings.IndexAny(rest, "$|")
	if end < 0 {
		return p, "", badExpression("write $attribute$, as in $mail$", text, "a $ is not closed")
	}
	name := rest[:end]
	if !attributeName.MatchString(name) {
		return p, "", badExpression("write $attribute$, as in $mail$; a literal $ is not possible", text, "%q is no name of an attribute", name)
	}
	p.attribute = strings.ToLower(name)
	if rest[end] == '$' {
		return p, rest[end+1:], nil
	}
	quoted, ok := strings.CutPrefix(rest[end+1:], "'")
	if !ok {
		return p, "", badExpression(`write $attribute|'/regex/replacement/'$`, text, "after the | there is no quotation mark")
	}
	fields, left, err := parseSubstitution(text, quoted)
	if err != nil {
		return p, "", err
	}
	switch fields[2] {
	case "":
	case "g":
		p.all = true
	default:
		return p, "", badExpression("the option is g or nothing", text, "the option %q is not known", fields[2])
	}
	if p.match, err = regexp.Compile(fields[0]); err != nil {
		return p, "", badExpression("back references and look-around are not possible", text, "its regular expression cannot be read: %v", err)
	}
	p.replace, err = parseReplacement(text, fields[1], p.match.NumSubexp())
	return p, left, err
}

// mark stands in a replacement before the character that a backslash escaped; an expression cannot have it otherwise.
const mark = '\x00'

// parseSubstitution reads /regex/replacement/option'$. In the regex, an escaped quotation mark, backslash or separator is that
// character, where the separator is literal even if regular expressions have a meaning for it, and any other escape is left to
// the regular expression.
func parseSubstitution(text, in string) (fields [3]string, left string, err error) {
	separator, size := utf8.DecodeRuneInString(in)
	if size == 0 || strings.ContainsRune(`'\0123456789`, separator) {
		return fields, "", badExpression(`the separator is any character but ', \ and digits`, text, "the substitution has no separator")
	}
	var b strings.Builder
	field := 0
	for i := size; i < len(in); {
		r, n := utf8.DecodeRuneInString(in[i:])
		i += n
		switch {
		case r == '\'':
			if field != 2 {
				return fields, "", badExpression(`write '/regex/replacement/'`, text, "the substitution has %d separators, not 3", field+1)
			}
			fields[field] = b.String()
			left, ok := strings.CutPrefix(in[i:], "$")
			if !ok {
				return fields, "", badExpression("close it with $", text, "no $ follows the substitution")
			}
			return fields, left, nil
		case r == separator:
			if field == 2 {
				return fields, "", badExpression(`write \ before a separator that is meant literally`, text, "the substitution has more than 3 separators")
			}
			fields[field] = b.String()
			field++
			b.Reset()
		case r == '\\':
			if i == len(in) {
				break // not closed, below
			}
			next, n := utf8.DecodeRuneInString(in[i:])
			i += n
			switch {
			case field > 0:
				b.WriteRune(mark)
				b.WriteRune(next)
			case next == separator:
				b.WriteString(regexp.QuoteMeta(string(next)))
			case next == '\'' || next == '\\':
				b.WriteRune(next)
			default:
				b.WriteRune('\\')
				b.WriteRune(next)
			}
		default:
			b.WriteRune(r)
		}
	}
	return fields, "", badExpression(`close it with '$`, text, "the substitution is not closed")
}

// parseReplacement splits a replacement into literal text and groups.
func parseReplacement(text, in string, groups int) ([]piece, error) {
	var out []piece
	var literal strings.Builder
	escaped := false
	for _, r := range in {
		switch {
		case !escaped && r == mark:
			escaped = true
			continue
		case !escaped || r < '0' || r > '9':
			literal.WriteRune(r)
		default:
			group := int(r - '0')
			if group > groups {
				return nil, badExpression("number groups by their opening brackets", text, `the replacement names \%d and the regular expression has %d groups`, group, groups)
			}
			out = append(out, piece{literal: literal.String(), group: -1}, piece{group: group})
			literal.Reset()
		}
		escaped = false
	}
	return append(out, piece{literal: literal.String(), group: -1}), nil
}

// String is the text that the expression was read from.
func (x Expression) String() string { return x.text }

// None says that there is no expression.
func (x Expression) None() bool { return len(x.parts) == 0 }

// Attributes are the names of the attributes that the expression uses, in lower case.
func (x Expression) Attributes() []string {
	var names []string
	for _, p := range x.parts {
		if p.attribute != "" && !slices.Contains(names, p.attribute) {
			names = append(names, p.attribute)
		}
	}
	return names
}

// Eval makes the text. value returns an attribute and whether the entry has it; missing is the first attribute that it has not
// and that was taken as empty. A text of more than MaxValue bytes is cut there, for the caller to refuse.
func (x Expression) Eval(value func(attribute string) (string, bool)) (text, missing string) {
	var b strings.Builder
	for _, p := range x.parts {
		if b.Len() > MaxValue {
			break
		}
		if p.attribute == "" {
			b.WriteString(p.literal)
			continue
		}
		v, there := value(p.attribute)
		if !there && missing == "" {
			missing = p.attribute
		}
		p.write(&b, v)
	}
	out := b.String()
	return out[:min(len(out), MaxValue+1)], missing
}

// write appends what the part makes of a value.
func (p part) write(b *strings.Builder, v string) {
	if p.match == nil {
		b.WriteString(v)
		return
	}
	times := 1
	if p.all {
		times = -1
	}
	last := 0
	for _, m := range p.match.FindAllStringSubmatchIndex(v, times) {
		if b.Len() > MaxValue {
			return
		}
		b.WriteString(v[last:m[0]])
		for _, r := range p.replace {
			switch {
			case r.group < 0:
				b.WriteString(r.literal)
			case m[2*r.group] >= 0:
				b.WriteString(v[m[2*r.group]:m[2*r.group+1]])
			}
		}
		last = m[1]
	}
	b.WriteString(v[last:])
}
