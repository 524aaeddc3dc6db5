package play

import (
	"crypto/ecdsa"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tallystick/tallystick/internal/trust"
)

// The tree that a Directory serves, and who signs in.
const (
	BaseDN      = "dc=acme,dc=example"
	PeopleDN    = "ou=people," + BaseDN
	SyncDN      = "cn=sync," + BaseDN
	SyncSecret  = "let-the-sync-in"
	groupDN     = "cn=licensed," + BaseDN
	adminDN     = "cn=admin," + BaseDN
	adminSecret = "let-the-admin-in"
)

// LicensedFilter matches the members of the group of Licensed.
const LicensedFilter = "(memberOf=" + groupDN + ")"

// Directory is a running slapd with people of ou=people. The account of SyncDN has size limits, the administrator has none.
type Directory struct {
	URL   string // ldap://
	LDAPS string // ldaps://
	Root  []byte // PEM of the CA of its certificate
	// Certificate is its own, DER.
	Certificate []byte

	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
	done chan error
}

// Person is an entry to be.
type Person struct {
	UID, CN, Mail string
	GUID          []byte // objectGUID
	Number        string // names the entry in the place of the uid
}

// People are n persons, p0000 and on.
func People(n int) []Person {
	out := make([]Person, n)
	for i := range out {
		out[i] = Person{UID: fmt.Sprintf("p%04d", i), CN: fmt.Sprintf("Person %d", i), Mail: fmt.Sprintf("p%04d@acme.example", i)}
	}
	return out
}

// slapdConf has size limits as careful administrators set them: 500 entries an answer, and any number of pages. The attributes are
// those of other directory servers that matter here.
const slapdConf = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'account2' SUP top AUXILIARY MAY ( objectGUID $ sAMAccountName ) )
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile DIR/pid
TLSCertificateFile DIR/cert.pem
TLSCertificateKeyFile DIR/key.pem
SIZELIMIT
database mdb
suffix "` + BaseDN + `"
rootdn "` + adminDN + `"
rootpw ` + adminSecret + `
directory DIR/db
maxsize 1073741824
dbnosync
index objectClass eq
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
overlay memberof
`

// Limited are the size limits of slapdConf; Unlimited lets everybody read everything.
const (
	Limited   = "sizelimit size.soft=500 size.hard=500 size.pr=500 size.prtotal=unlimited"
	Unlimited = "sizelimit unlimited"
)

// Slapd starts a directory server with people on free loopback ports. The test ends it if nobody else does.
func Slapd(t testing.TB, sizeLimit string, people []Person) *Directory {
	t.Helper()
	d := &Directory{t: t, dir: t.TempDir()}
	keys, err := trust.OpenKeys(filepath.Join(d.dir, "ca"), Now())
	must(t, "make a CA", err)
	cert, err := keys.ServerCertificate([]string{"localhost", "127.0.0.1"}, Now())
	must(t, "make a certificate", err)
	key, err := trust.MarshalKeyPEM(cert.PrivateKey.(*ecdsa.PrivateKey))
	must(t, "write the key", err)
	d.Root, d.Certificate = keys.RootPEM(), cert.Certificate[0]
	must(t, "make the database folder", os.Mkdir(filepath.Join(d.dir, "db"), 0o700))
	conf := strings.NewReplacer("DIR", d.dir, "SIZELIMIT", sizeLimit).Replace(slapdConf)
	for name, text := range map[string][]byte{"slapd.conf": []byte(conf), "cert.pem": trust.CertificatePEM(cert.Certificate...), "key.pem": key, "data.ldif": []byte(ldif(people))} {
		must(t, "write "+name, os.WriteFile(filepath.Join(d.dir, name), text, 0o600))
	}
	if out, err := exec.Command(sbin("slapadd"), "-q", "-f", filepath.Join(d.dir, "slapd.conf"), "-l", filepath.Join(d.dir, "data.ldif")).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	plain, secure := freePort(t), freePort(t)
	d.URL, d.LDAPS = fmt.Sprintf("ldap://127.0.0.1:%d", plain), fmt.Sprintf("ldaps://127.0.0.1:%d", secure)
	d.args = []string{"-f", filepath.Join(d.dir, "slapd.conf"), "-h", d.URL + " " + d.LDAPS, "-d", "0"}
	d.Start()
	t.Cleanup(d.Kill)
	return d
}

// Now is the clock of the programs under test.
func Now() time.Time { return time.Now() }

func must(t testing.TB, doing string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", doing, err)
	}
}

// sbin finds a program that is not in everybody's PATH.
func sbin(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return "/usr/sbin/" + name
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "find a port", err)
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// ldif are the entries to begin with.
func ldif(people []Person) string {
	var b strings.Builder
	fmt.Fprintf(&b, "dn: %s\nobjectClass: dcObject\nobjectClass: organization\ndc: acme\no: Acme\n\n", BaseDN)
	fmt.Fprintf(&b, "dn: %s\nobjectClass: organizationalUnit\nou: people\n\n", PeopleDN)
	fmt.Fprintf(&b, "dn: %s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: sync\nuserPassword: %s\n\n", SyncDN, SyncSecret)
	for _, p := range people {
		fmt.Fprintf(&b, "dn:: %s\nobjectClass: inetOrgPerson\nobjectClass: account2\nsn: x\n", encoded(p.DN()))
		for _, a := range [][2]string{{"uid", p.UID}, {"cn", p.CN}, {"mail", p.Mail}, {"sAMAccountName", p.UID}, {"objectGUID", string(p.GUID)}, {"employeeNumber", p.Number}} {
			if a[1] != "" {
				fmt.Fprintf(&b, "%s:: %s\n", a[0], encoded(a[1]))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// DN is the distinguished name of a person.
func (p Person) DN() string {
	if p.Number != "" {
		return "employeeNumber=" + p.Number + "," + PeopleDN
	}
	return "uid=" + ldap.EscapeDN(p.UID) + "," + PeopleDN
}

// Start starts the server, again after Kill, and waits until it answers.
func (d *Directory) Start() {
	d.t.Helper()
	d.cmd, d.done = exec.Command(sbin("slapd"), d.args...), make(chan error, 1)
	var log strings.Builder
	d.cmd.Stderr = &log
	must(d.t, "start slapd", d.cmd.Start())
	done := d.done
	go func() { done <- d.cmd.Wait() }() // ends with the program
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		select {
		case err := <-d.done:
			d.t.Fatalf("slapd ended: %v\n%s", err, log.String())
		default:
		}
		if c, err := net.DialTimeout("tcp", strings.TrimPrefix(d.LDAPS, "ldaps://"), time.Second); err == nil {
			_ = c.Close()
			return
		}
	}
	d.t.Fatal("slapd does not answer")
}

// Kill ends the server. Again is no error.
func (d *Directory) Kill() {
	_ = d.cmd.Process.Kill()
	select {
	case err := <-d.done:
		d.done <- err
	case <-time.After(30 * time.Second):
		d.t.Error("the killed slapd did not end")
	}
}

// Change runs a change as the administrator.
func (d *Directory) Change(change func(*ldap.Conn) error) {
	d.t.Helper()
	c, err := ldap.DialURL(d.URL)
	must(d.t, "dial slapd", err)
	defer func() { _ = c.Close() }()
	must(d.t, "sign in at slapd", c.Bind(adminDN, adminSecret))
	must(d.t, "change the directory", change(c))
}

// Licensed makes people the members of a group.
func (d *Directory) Licensed(people []Person) {
	d.t.Helper()
	add := ldap.NewAddRequest(groupDN, nil)
	add.Attribute("objectClass", []string{"groupOfNames"})
	var members []string
	for _, p := range people {
		members = append(members, p.DN())
	}
	add.Attribute("member", members)
	d.Change(func(c *ldap.Conn) error {
		_ = c.Del(ldap.NewDelRequest(groupDN, nil)) // none the first time
		return c.Add(add)
	})
}

// Remove takes people out of the directory.
func (d *Directory) Remove(people []Person) {
	d.t.Helper()
	d.Change(func(c *ldap.Conn) error {
		for _, p := range people {
			if err := c.Del(ldap.NewDelRequest(p.DN(), nil)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Cut is a proxy before a server that breaks each connection off when so many bytes of answers have passed.
type Cut struct {
	URL string

	left atomic.Int64
}

// After sets how many bytes pass of each connection; negative for all.
func (c *Cut) After(n int64) { c.left.Store(n) }

// NewCut starts a proxy before an ldap:// address. It ends with the test.
func NewCut(t testing.TB, to string) *Cut {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "listen", err)
	t.Cleanup(func() { _ = l.Close() })
	c := &Cut{URL: "ldap://" + l.Addr().String()}
	c.left.Store(-1)
	go func() { // ends with the listener
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go c.carry(in, strings.TrimPrefix(to, "ldap://"))
		}
	}()
	return c
}

func (c *Cut) carry(in net.Conn, to string) {
	defer func() { _ = in.Close() }()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	go func() { _, _ = io.Copy(out, in) }() // ends with either connection
	if n := c.left.Load(); n >= 0 {
		_, _ = io.CopyN(in, out, n)
		return
	}
	_, _ = io.Copy(in, out)
}
