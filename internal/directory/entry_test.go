package directory

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/license"
)

// entry makes an entry of pairs of name and value.
func entry(dn string, pairs ...string) Entry {
	e := Entry{DN: dn, Attributes: map[string][][]byte{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		e.Attributes[pairs[i]] = append(e.Attributes[pairs[i]], []byte(pairs[i+1]))
	}
	return e
}

func mapping(t testing.TB, text MappingText) Mapping {
	t.Helper()
	m, err := ParseMapping(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRule32EntriesToUsers: who lacks an attribute of the JID is left out and counted; who is there twice is a clash, and the
// first by distinguished name is imported.
func TestRule32EntriesToUsers(t *testing.T) {
	t.Parallel()
	m := mapping(t, MappingText{JID: "$sAMAccountName$@acme.example", Name: "$givenName$ $sn$", UserID: "$sAMAccountName$", CDRTag: "$department$",
		SpaceURI: "$sAMAccountName$.space", SpaceURI2: "$ipPhone$", CallID: "$ipPhone$"})
	entries := []Entry{
		entry("cn=2,dc=x", "samaccountname", "Ines", "sn", "Berg", "givenname", "Ines", "mail", "ines@acme.example", "department", "R&D", "ipphone", "100"),
		entry("cn=1,dc=x", "samaccountname", "noor", "sn", "Haddad", "ipphone", "100"),
		entry("CN=0,dc=x", "samaccountname", "INES", "sn", "Other"),
		entry("cn=3,dc=x", "sn", "No Account"),
		entry("cn=4,dc=x", "samaccountname", "two words"),
		entry("cn=5,dc=x", "samaccountname", "a@b"),
		entry("cn=6,dc=x", "samaccountname", strings.Repeat("a", MaxValue+1)),
		entry("cn=7,dc=x", "samaccountname", "bad\xff"),
		entry("cn=8,dc=x", "samaccountname", "nul\x00"),
		entry("cn=9,dc=x", "samaccountname", ""),
	}
	want := Import{
		Entries: 10,
		Users: []User{
			{JID: "ines@acme.example", Name: "Other", UserID: "INES"},
			{JID: "noor@acme.example", Name: "Haddad", UserID: "noor"},
		},
		Skipped: []Skip{
			{"cn=3,dc=x", SkipMissing, "samaccountname"},
			{"cn=4,dc=x", SkipJID, "it has spaces, control or invisible characters"},
			{"cn=5,dc=x", SkipJID, "it has characters that no such identifier has"},
			{"cn=6,dc=x", SkipValue, "samaccountname"},
			{"cn=7,dc=x", SkipValue, "samaccountname"},
			{"cn=8,dc=x", SkipValue, "samaccountname"},
			{"cn=9,dc=x", SkipJID, "nothing stands before the @"},
		},
		Clashes: []Clash{{ClashJID, "ines@acme.example", "CN=0,dc=x", "cn=2,dc=x"}},
	}
	for range 20 {
		if got := m.Import(entries); !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	}
	got := m.Import([]Entry{entry("cn=1", "samaccountname", "a", "ipphone", "7"), entry("cn=2", "samaccountname", "b", "ipphone", "7")})
	if len(got.Users) != 2 || len(got.Clashes) != 2 || got.Clashes[0] != (Clash{ClashCallID, "7", "cn=1", "cn=2"}) || got.Clashes[1].Code != ClashURI {
		t.Errorf("two users with one call id: got %+v", got)
	}
}

func TestRule32MappingsNeedAnIdentifier(t *testing.T) {
	t.Parallel()
	for _, jid := range []string{"", "everybody@acme.example", "$mail"} {
		if _, err := ParseMapping(MappingText{JID: jid}); license.AsError(err) == nil {
			t.Errorf("%q: got %v, want a refusal", jid, err)
		}
	}
	m := mapping(t, MappingText{JID: "$uid$@x", Name: "$CN$"})
	if got, want := m.Attributes(), []string{"cn", "entryuuid", "mail", "nsuniqueid", "objectguid", "uid"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRule35Identifiers: objectGUID in binary, entryUUID and nsuniqueid as text.
func TestRule35Identifiers(t *testing.T) {
	t.Parallel()
	binary := "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
	for _, tc := range []struct {
		e    Entry
		want string
	}{
		{entry("", objectGUID, binary), "00112233-4455-6677-8899-aabbccddeeff"},
		{entry("", objectGUID, binary, entryUUID, "11111111-2222-3333-4444-555555555555"), "00112233-4455-6677-8899-aabbccddeeff"},
		{entry("", entryUUID, "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"), "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"},
		{entry("", nsUniqueID, "66446001-1dd211b2-66225011-2ee211db"), "66446001-1dd2-11b2-6622-50112ee211db"},
		{entry("", objectGUID, "{00112233-4455-6677-8899-AABBCCDDEEFF}"), "00112233-4455-6677-8899-aabbccddeeff"},
		{entry("", objectGUID, "short"), ""},
		{entry(""), ""},
	} {
		if got := tc.e.guid(); got != tc.want {
			t.Errorf("%+v: got %q, want %q", tc.e, got, tc.want)
		}
	}
}

// TestHostileEntries: what a directory holds is text, whatever it looks like.
func TestHostileEntries(t *testing.T) {
	t.Parallel()
	m := mapping(t, MappingText{JID: "$uid$@acme.example", Name: "$cn$", UserID: "$uid$"})
	for value, name := range map[string]string{
		"=cmd|'/c calc'!A1":               "=cmd|'/c calc'!A1", // the CSV writer quotes it
		"<script>alert(1)</script>":       "<script>alert(1)</script>",
		"$mail$ \\0 \\1":                  "$mail$ \\0 \\1", // a value is no expression
		"*)(uid=*))(|(uid=*":              "*)(uid=*))(|(uid=*",
		"a\u202egnp.exe\u2066":            "agnp.exe",
		"bell\x07esc\x1b[31m\r\n\ttab":    "bellesc[31mtab",
		"zero\u200bwidth\ufeff":           "zerowidth",
		"می\u200cخواهم":                   "می\u200cخواهم",
		"'; DROP TABLE directory_user;--": "'; DROP TABLE directory_user;--",
	} {
		got := m.Import([]Entry{entry("cn="+value, "uid", "u", "cn", value)})
		if len(got.Users) != 1 || got.Users[0].Name != name || got.Users[0].JID != "u@acme.example" {
			t.Errorf("%q as a name: got %+v", value, got)
		}
		got = m.Import([]Entry{entry("cn="+value, "uid", value)})
		if len(got.Users) != 0 && CheckJID(got.Users[0].JID) != "" {
			t.Errorf("%q as a user: got %+v", value, got)
		}
		if len(got.Skipped) == 1 && strings.ContainsFunc(got.Skipped[0].DN, unprintable) {
			t.Errorf("%q: shown as %q", value, got.Skipped[0].DN)
		}
	}
}
