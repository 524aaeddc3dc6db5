package agent

import (
	"reflect"
	"testing"

	"github.com/tallystick/tallystick/internal/license"
)

// sameAsKept fails when what an agent remembers of its state is not what reading the kept bytes gives. Every test with a product
// looks at its end, and the random walk after every step.
func sameAsKept(t testing.TB, a *Agent) {
	t.Helper()
	k := a.kept.Load()
	if k == nil {
		return
	}
	want, err := decodeState(k.raw)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(k.st, want) {
		t.Fatalf("the agent remembers\n%+v\nand reading gives\n%+v", k.st, want)
	}
}

// TestKeptStateIsCopied: what is changed in a state that was read is not in the next one.
func TestKeptStateIsCopied(t *testing.T) {
	t.Parallel()
	p := newProduct(t, 0)
	p.register()
	p.use(3)
	p.report()
	for range 3 {
		st, _, err := p.read(t.Context())
		p.must(err)
		if st.Usage[tag] != 3 || st.Identity.Number == 99 || st.Identity.Signer[0] == nil || st.Answer.Tags[0].Requested != 3 || st.Pending != nil {
			t.Fatalf("the state has what was done to another one: %+v", st)
		}
		st.Identity.Signer[0] = nil
		st.Usage[tag], st.Identity.Number, st.Answer.Tags[0].Requested, st.Pending = 7, 99, 0, &request{}
		sameAsKept(t, p.Agent)
	}
}

// TestStateHasKindsThatAreCopied: a member of a kind that copyKept does not know, or that it cannot reach, is found here first.
func TestStateHasKindsThatAreCopied(t *testing.T) {
	t.Parallel()
	seen := map[reflect.Type]bool{}
	var look func(path string, v reflect.Type)
	look = func(path string, v reflect.Type) {
		if seen[v] || v == typeOfTime {
			return
		}
		seen[v] = true
		switch v.Kind() {
		case reflect.Pointer, reflect.Slice:
			look(path, v.Elem())
		case reflect.Array:
			if !flat(v.Elem()) {
				t.Errorf("%s is an array of %s", path, v.Elem())
			}
		case reflect.Map:
			if !flat(v.Key()) {
				t.Errorf("%s has keys of %s", path, v.Key())
			}
			look(path, v.Elem())
		case reflect.Struct:
			for f := range v.Fields() {
				if !f.IsExported() {
					t.Errorf("%s.%s is not written", path, f.Name)
				}
				look(path+"."+f.Name, f.Type)
			}
		case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
			t.Errorf("%s is a %s", path, v.Kind())
		}
	}
	look("state", reflect.TypeFor[state]())
	if len(seen) < 30 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}

// BenchmarkRead reads the state as every step does.
func BenchmarkRead(b *testing.B) {
	p := newProduct(b, 0)
	p.register()
	counts := map[string]int64{}
	for _, e := range license.DefaultCatalog().Entries() {
		counts[string(e.Tag)] = 1
	}
	p.must(p.SetUsages(b.Context(), counts))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
