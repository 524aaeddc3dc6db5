// Package words says in sentences what is wrong with a command line: which word is missing and what it is, what the words of a verb
// are, which value cannot be read, and what to write instead. It knows how a command line is described, and nothing of what the
// verbs do; both programs use it.
package words

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/tallystick/tallystick/internal/license"
)

// Parse reads a command line. What is wrong with it is a license.Error of the kind invalid and the code "usage"; an empty text where a
// verb needs a word is no word.
func Parse(parser *kong.Kong, args []string) (*kong.Context, error) {
	k, err := parser.Parse(args)
	if err != nil {
		return nil, refusal(err)
	}
	node := k.Selected()
	if node == nil {
		return k, nil
	}
	for _, v := range node.Positional {
		if v.Required && v.Target.Kind() == reflect.String && v.Target.String() == "" {
			v.Set = false
			return nil, leaf(node, lacking)
		}
	}
	return k, nil
}

// refusal turns an error of the parser into one for people. One that is such an error already, as from a file of flags, stays.
func refusal(err error) error {
	if license.AsError(err) != nil {
		return err
	}
	parsed, ok := errors.AsType[*kong.ParseError](err)
	if !ok || parsed.Context == nil {
		return refuse("look at --help", err.Error())
	}
	node := parsed.Context.Selected()
	if node == nil {
		node = parsed.Context.Model.Node
	}
	if len(node.Children) > 0 {
		return branch(node, err.Error())
	}
	return leaf(node, err.Error())
}

// lacking is how the parser begins when words are missing.
const lacking = "expected "

func refuse(hint, message string) error {
	return license.Refuse(license.KindInvalid, "usage", hint, "%s", message)
}

// branch is what is wrong behind a word that needs another one.
func branch(node *kong.Node, text string) error {
	var names []string
	for _, c := range node.Children {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	if strings.HasPrefix(text, lacking) {
		text = fmt.Sprintf("`%s` needs another word", node.FullPath())
	}
	return refuse(fmt.Sprintf("one of these comes after `%s`: %s", node.FullPath(), strings.Join(names, ", ")), text)
}

// leaf is what is wrong with the words and flags of a verb.
func leaf(node *kong.Node, text string) error {
	values, missing := slices.Clone(node.Positional), []string(nil)
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			values = append(values, f.Value)
		}
	}
	usage := node.FullPath()
	for _, v := range values {
		if v.Required || v.Flag == nil {
			usage += " " + optional(v)
		}
		if v.Required && !v.Set {
			missing = append(missing, described(v))
		}
	}
	if strings.HasPrefix(text, lacking) || strings.HasPrefix(text, "missing flags") {
		text = fmt.Sprintf("`%s` lacks %s", node.FullPath(), listed(missing))
	} else if better := unreadable(values, text); better != "" {
		text = better
	}
	return refuse(fmt.Sprintf("write: %s; `%s --help` says more", usage, node.FullPath()), text)
}

// unreadable words an error about a value, empty for another error.
func unreadable(values []*kong.Value, text string) string {
	if head, got, ok := strings.Cut(text, " but got "); ok {
		if name, _, ok := strings.Cut(head, " must be one of "); ok {
			return noneOf(values, name, got)
		}
	}
	name, wanted, _ := strings.Cut(text, ": ")
	wanted, got, ok := strings.Cut(wanted, " but got ")
	none := wanted == "missing value" || strings.Contains(got, `"EOL"`)
	if !none && (!ok || !strings.HasPrefix(wanted, lacking)) {
		return ""
	}
	for _, v := range values {
		if name != v.ShortSummary() {
			continue
		}
		switch {
		case none:
			return "a value is missing after " + described(v)
		case strings.HasSuffix(wanted, " int"), strings.HasSuffix(wanted, " uint"):
			return fmt.Sprintf("%s is no whole number, which %s needs", got, described(v))
		}
		return fmt.Sprintf("%s is no value for %s", got, described(v))
	}
	return ""
}

// noneOf words the error about a value that is none of a few.
func noneOf(values []*kong.Value, name, got string) string {
	for _, v := range values {
		if name == v.ShortSummary() {
			known := slices.DeleteFunc(v.EnumSlice(), func(s string) bool { return s == "" }) // which is the default
			return fmt.Sprintf("%s is no value for %s; it is one of %s", got, placed(v), strings.Join(known, ", "))
		}
	}
	return ""
}

// placed is a value as people write it: a flag with what follows it, or a word in capitals.
func placed(v *kong.Value) string {
	if v.Flag != nil {
		return "--" + v.Name + " " + cmp.Or(v.Flag.PlaceHolder, strings.ToUpper(v.Name))
	}
	name := strings.ToUpper(v.Name)
	if v.IsCumulative() {
		name += "…"
	}
	return name
}

func optional(v *kong.Value) string {
	if v.Required {
		return placed(v)
	}
	return "[" + placed(v) + "]"
}

// described is a value with what its help says.
func described(v *kong.Value) string {
	help := strings.TrimSuffix(v.Help, ".")
	if help == "" {
		return placed(v)
	}
	if len(help) > 1 && strings.ToUpper(help[1:2]) != help[1:2] { // an abbreviation keeps its capitals
		help = strings.ToLower(help[:1]) + help[1:]
	}
	return placed(v) + " (" + help + ")"
}

func listed(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}
