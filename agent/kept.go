package agent

import (
	"bytes"
	"reflect"
	"strings"
	"sync"
	"time"
)

// kept is what was read or saved last: the bytes, and the state that reading them gives. Neither is ever changed. Reading the bytes
// takes most of the time of a step, and they are the same nearly always.
type kept struct {
	raw []byte
	st  *state
}

// known is what the bytes say if they are those that were read or saved last, else nil. Nobody changes it.
func (a *Agent) known(raw []byte) *state {
	if k := a.kept.Load(); k != nil && raw != nil && bytes.Equal(k.raw, raw) {
		return k.st
	}
	return nil
}

// decode reads kept bytes as decodeState does. The caller may change what it gets.
func (a *Agent) decode(raw []byte) (*state, error) {
	if st := a.known(raw); st != nil {
		return st.clone(), nil
	}
	st, err := decodeState(raw)
	if err == nil && raw != nil {
		a.saved(raw, st)
	}
	return st, err
}

// saved notes that the bytes say this state.
func (a *Agent) saved(raw []byte, st *state) {
	a.kept.Store(&kept{raw: bytes.Clone(raw), st: st.clone()}) // the keeper may use its bytes again
}

// clone is the state that comes out when this one is written and read: it shares nothing that is ever changed.
func (st *state) clone() *state {
	var out state
	copyKept(reflect.ValueOf(&out).Elem(), reflect.ValueOf(st).Elem())
	return &out
}

var typeOfTime = reflect.TypeFor[time.Time]()

// copyKept copies a value of the kinds that a state consists of. As in writing and reading, members that are not written and empty
// ones that are left out come back as zero.
func copyKept(to, from reflect.Value) {
	switch from.Kind() {
	case reflect.Pointer:
		if !from.IsNil() {
			to.Set(reflect.New(from.Type().Elem()))
			copyKept(to.Elem(), from.Elem())
		}
	case reflect.Slice:
		if from.IsNil() {
			return
		}
		if from.Type().Elem().Kind() == reflect.Uint8 {
			to.Set(from) // keys, certificates, messages: bytes are replaced and never changed
			return
		}
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		if flat(from.Type().Elem()) {
			reflect.Copy(to, from)
			return
		}
		for i := range from.Len() {
			copyKept(to.Index(i), from.Index(i))
		}
	case reflect.Map:
		if from.IsNil() {
			return
		}
		to.Set(reflect.MakeMapWithSize(from.Type(), from.Len()))
		for each := from.MapRange(); each.Next(); {
			value := reflect.New(from.Type().Elem()).Elem()
			copyKept(value, each.Value())
			to.SetMapIndex(each.Key(), value)
		}
	case reflect.Struct:
		to.Set(from) // what is flat is copied by this
		for _, m := range membersOf(from.Type()) {
			field := to.Field(m.index)
			field.SetZero()
			if was := from.Field(m.index); m.written && (!m.omitted || was.Len() > 0) {
				copyKept(field, was)
			}
		}
	default:
		to.Set(from)
	}
}

// memberOf is a member of a struct that is not copied with it.
type memberOf struct {
	index   int
	written bool
	omitted bool // when it is empty
}

var members sync.Map // of memberOf lists, by type

func membersOf(t reflect.Type) []memberOf {
	if known, ok := members.Load(t); ok {
		return known.([]memberOf)
	}
	var list []memberOf
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if m := (memberOf{index: i, written: tag != "-"}); !flat(f.Type) || !m.written {
			m.omitted = strings.HasSuffix(tag, ",omitempty") && (f.Type.Kind() == reflect.Map || f.Type.Kind() == reflect.Slice)
			list = append(list, m)
		}
	}
	members.Store(t, list)
	return list
}

// flat says that a value of the type refers to nothing that can be changed.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		return t == typeOfTime || len(membersOf(t)) == 0 // times are kept in UTC and without a monotonic part
	case reflect.Array:
		return flat(t.Elem())
	default:
		return t.Kind() <= reflect.Complex128 || t.Kind() == reflect.String
	}
}
