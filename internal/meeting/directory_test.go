package meeting

import (
	"strings"
	"testing"
)

const (
	asStored  = "33221100-5544-7766-8899-aabbccddeeff" // the bytes of an objectGUID as they are stored
	asNumbers = "00112233-4455-6677-8899-aabbccddeeff" // the same with its fields as numbers
)

func TestRule16BothByteOrders(t *testing.T) {
	t.Parallel()
	d := NewDirectory(1, []User{{JID: "ines@quay.example", GUID: asNumbers}}, nil, nil)
	for _, text := range []string{asNumbers, asStored, "{" + strings.ToUpper(asNumbers) + "}", strings.ReplaceAll(asStored, "-", ""), " " + asNumbers + " "} {
		g, ok := ParseGUID(text)
		if u, n := d.UserByGUID(g); !ok || n != 1 || u.JID != "ines@quay.example" {
			t.Errorf("%q: got %t, %d %+v", text, ok, n, u)
		}
	}
	if g, _ := ParseGUID(asNumbers); g.String() != asNumbers || g.Swapped().String() != asStored {
		t.Errorf("got %s and %s", g, g.Swapped())
	}
	for _, text := range []string{"", "ines", "ines@quay.example", asNumbers[1:], asNumbers + "0", "g" + asNumbers[1:], "{" + asNumbers[1:] + "}"} {
		if g, ok := ParseGUID(text); ok {
			t.Errorf("%q: read as %s", text, g)
		}
	}
}

// TestRule16OrderAsWrittenGoesFirst: where the GUID of one user is that of another in the other order, the one as written counts.
func TestRule16OrderAsWrittenGoesFirst(t *testing.T) {
	t.Parallel()
	d := NewDirectory(1, []User{{JID: "a", GUID: asStored}, {JID: "b", GUID: asNumbers}, {JID: "c", GUID: strings.ToUpper(asNumbers)}}, nil, nil)
	one, _ := ParseGUID(asStored)
	two, _ := ParseGUID(asNumbers)
	if u, n := d.UserByGUID(one); u.JID != "a" || n != 1 {
		t.Errorf("got %d %s", n, u.JID)
	}
	if u, n := d.UserByGUID(two); u.JID != "b" || n != 2 {
		t.Errorf("got %d %s", n, u.JID)
	}
}

func TestRule17UserID(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ines": "ines", `ACME\Ines`: "ines", "Ines@acme.example": "ines", ` acme.example\INES `: "ines", "": "", `ACME\`: "",
	} {
		if got := UserID(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	d := NewDirectory(1, []User{{JID: "a", ID: "ines"}, {JID: "b", ID: `OTHER\ines`}, {JID: "c"}}, nil, nil)
	if u, n := d.UserByID("INES"); u.JID != "a" || n != 2 {
		t.Errorf("got %d %s, want two of whom a is the first", n, u.JID)
	}
	if u, n := d.UserByID(""); n != 0 {
		t.Errorf("got %s for no name", u.JID)
	}
}

func TestRule15Party(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sip:Ines@Quay.example":                      "ines@quay.example",
		"sips:ines@quay.example:5061;transport=tls":  "ines@quay.example",
		`"Ines" <sip:ines@quay.example;x=1>;tag=abc`: "ines@quay.example",
		"ines@quay.example":                          "ines@quay.example",
		"tel:+4712345678":                            "+4712345678",
		"+4712345678":                                "+4712345678",
		"1001@10.0.0.7:5060":                         "1001@10.0.0.7",
		"10.0.0.7:5060":                              "10.0.0.7",
		"1001@[2001:db8::1]:5060":                    "1001@[2001:db8::1]",
		"2001:db8::1":                                "2001:db8::1",
		"ines@quay.example/laptop":                   "ines@quay.example",
		"ines@quay.example:x":                        "ines@quay.example:x",
		"":                                           "",
	} {
		if got := Party(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	d := NewDirectory(1, nil, nil, []Device{{Party: "sip:dx80.ines@quay.example", Owner: "Ines@quay.example"}})
	if owner, ok := d.DeviceOwner("DX80.ines@quay.example:5060"); !ok || owner != "ines@quay.example" {
		t.Errorf("got %q, %t", owner, ok)
	}
}

func TestNobodyIsKnownWithoutADirectory(t *testing.T) {
	t.Parallel()
	var d *Directory
	_, user := d.User("a")
	_, space := d.Space("a")
	_, device := d.DeviceOwner("a")
	_, guid := d.UserByGUID(GUID{})
	_, id := d.UserByID("a")
	_, email := d.UserByEmail("a")
	if user || space || device || guid+id+email > 0 || d.Version() != 0 || d.Size() != 0 || d.SpacesNamed("a") != nil {
		t.Error("a directory that is not there knows something")
	}
}
