package test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/cdr"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/storetest"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
	"github.com/tallystick/tallystick/test/play"
)

// kills is how often the server is killed on each database: 20 in every run, more with TALLY_TEST_KILLS.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TALLY_TEST_KILLS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("TALLY_TEST_KILLS is %q, want a number of at least 1", text)
	}
	return n
}

// TestKill kills the server without warning while products register and report and call bridges post, starts it again, and
// compares the database with what the clients saw acknowledged: nothing of it may be missing, nothing may count twice.
func TestKill(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, address string) {
		c := newCrash(t, address)
		for round := range kills(t) {
			c.round(t, round)
		}
		t.Logf("%d kills: %d registrations, %d authorizations and %d posts were acknowledged", kills(t), c.log.registered, c.log.authorized, c.log.posted)
		if c.log.authorized == 0 || c.log.posted == 0 {
			t.Error("nothing was acknowledged, so nothing was tested")
		}
	})
}

type crash struct {
	database string
	args     []string
	account  string
	token    string
	receiver string
	root     trust.Fingerprint
	products []*reporter
	bridges  []*poster
	log      clientLog
}

// clientLog counts what was acknowledged.
type clientLog struct {
	mu                             sync.Mutex // guards the counts
	registered, authorized, posted int
}

// reporter is a product with what it knows: the use it reported under each number, and the last answer it got.
type reporter struct {
	*play.Product
	pending  []byte // envelope without an answer yet, sent again after the crash
	answered int64
	answer   [32]byte
	use      map[int64]int64 // by exchange number
}

// poster is a call bridge: posts without a 200 are sent again.
type poster struct {
	*play.Bridge
	pending []byte
	acked   map[int64]bool // correlator indexes
}

func newCrash(t *testing.T, database string) *crash {
	t.Helper()
	data := t.TempDir()
	c := &crash{database: database, args: []string{"serve", "--data", data, "--db", database, "--plaintext", "--listen", "127.0.0.1:0"}}
	key := c.tally(t, nil, "bootstrap", "--json", "--data", data, "--db", database)["apiKey"]
	s := play.Serve(t, tally(), c.args...)
	env := []string{"TALLY_URL=" + s.URL, "TALLY_KEY=" + key}
	c.account = c.tally(t, env, "account", "create", "crash.example", "--json")["id"]
	order := filepath.Join(data, "order.json")
	if err := os.WriteFile(order, []byte(`{"order":"SO-1","account":"crash.example","lines":[{"tag":"exp-rms","quantity":40}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.tally(t, env, "order", "import", order)
	c.token = c.tally(t, env, "token", "create", "--json")["token"]
	c.tally(t, env, "conference", "enable")
	url := c.tally(t, env, "conference", "bridge", "add", "cluster", "--json")["url"]
	c.receiver = url[strings.Index(url, "/cdr/"):]
	certs, err := trust.ParseCertificatesPEM(c.get(t, s.URL+"/root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	c.root = trust.Of(certs[0])
	s.Kill()
	for i := range 4 {
		c.bridges = append(c.bridges, &poster{Bridge: play.NewBridge(i, time.Now().Add(-time.Hour)), acked: map[int64]bool{}})
	}
	return c
}

func (c *crash) get(t *testing.T, url string) []byte {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", url, r.Status, err)
	}
	return body
}

// tally runs the command line and reads its JSON answer when it has one.
func (c *crash) tally(t *testing.T, env []string, args ...string) map[string]string {
	t.Helper()
	out, errs, code := play.Run(t.Context(), env, tally(), args...)
	if code != 0 {
		t.Fatalf("tally %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	all := map[string]any{}
	_ = json.Unmarshal([]byte(out), &all)
	text := map[string]string{}
	for k, v := range all {
		if s, ok := v.(string); ok {
			text[k] = s
		}
	}
	return text
}

// round starts the server, lets clients work, kills it at a random moment, and checks the database.
func (c *crash) round(t *testing.T, n int) {
	t.Helper()
	s := play.Serve(t, tally(), c.args...)
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 2 {
		c.products = append(c.products, &reporter{Product: play.NewProduct(c.account, fmt.Sprintf("R%03d-%d", n, i)), use: map[int64]int64{}})
	}
	var wg sync.WaitGroup
	active := c.products[max(0, len(c.products)-8):]
	for _, p := range active {
		wg.Go(func() { c.report(ctx, t, s.URL, p) })
	}
	for _, b := range c.bridges {
		wg.Go(func() { c.post(ctx, t, s.URL, b) })
	}
	time.Sleep(time.Duration(20+rand.IntN(500)) * time.Millisecond)
	s.Kill()
	cancel()
	wg.Wait()

	// A second start brings the meetings up to date; only then the database is read, with nobody writing to it.
	s = play.Serve(t, tally(), c.args...)
	if code := s.Stop(); code != 0 {
		t.Fatalf("round %d: the server ended with %d on SIGTERM", n, code)
	}
	c.check(t)
}

// send posts once. A lost connection is an unknown outcome: the same bytes are sent again later.
func send(ctx context.Context, url string, body []byte) ([]byte, int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return text, answer.StatusCode, err
}

// report registers the product, or goes on reporting, until the server is gone.
func (c *crash) report(ctx context.Context, t *testing.T, url string, p *reporter) {
	for ctx.Err() == nil {
		path := "/machine/v1/authorize"
		if p.Instance == "" {
			path = "/machine/v1/register"
		}
		if p.pending == nil {
			var err error
			if p.Instance == "" {
				p.pending, err = p.Registration(c.token)
			} else {
				use := rand.Int64N(20)
				p.pending, err = p.Report(wire.Usage{Tag: "exp-rms", Count: use})
				p.use[p.Number] = use
			}
			if err != nil {
				t.Errorf("make request: %v", err)
				return
			}
		}
		answer, status, err := send(ctx, url+path, p.pending)
		if err != nil || status == http.StatusServiceUnavailable {
			return // killed: the request stays pending
		}
		if status != http.StatusOK {
			t.Errorf("%s of %s: status %d: %s", path, p.Serial, status, answer)
			return
		}
		c.acknowledge(t, p, answer)
		p.pending = nil
	}
}

func (c *crash) acknowledge(t *testing.T, p *reporter, answer []byte) {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if p.Instance == "" {
		c.log.registered++
		if err := p.Registered(answer, c.root, time.Now()); err != nil {
			t.Error(err)
		}
		return
	}
	c.log.authorized++
	_, payload, _ := bytes.Cut(answer, []byte("."))
	payload, _, _ = bytes.Cut(payload, []byte("."))
	p.answered, p.answer = p.Number, sha256.Sum256(payload)
}

func (c *crash) post(ctx context.Context, t *testing.T, url string, b *poster) {
	for ctx.Err() == nil {
		if b.pending == nil {
			b.pending = b.Post(1 + rand.IntN(12))
		}
		answer, status, err := send(ctx, url+c.receiver, b.pending)
		if err != nil || status == http.StatusServiceUnavailable {
			return
		}
		if status != http.StatusOK {
			t.Errorf("post: status %d: %s", status, answer)
			return
		}
		post, err := cdr.Parse(b.pending)
		if err != nil {
			t.Error(err)
			return
		}
		for _, r := range post.Records {
			b.acked[r.Correlator] = true
		}
		c.log.mu.Lock()
		c.log.posted++
		c.log.mu.Unlock()
		b.pending = nil
	}
}

// check reads only the database and the clients' own knowledge.
func (c *crash) check(t *testing.T) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{URL: c.database})
	if err != nil {
		t.Fatalf("open the database after the crash: %v", err)
	}
	defer st.Close()
	err = st.View(t.Context(), func(tx *store.Tx) error {
		return errors.Join(c.checkProducts(t, tx), c.checkBooks(t, tx), c.checkRecords(t, tx))
	})
	if err != nil {
		t.Fatalf("read the database: %v", err)
	}
}

// rows runs a query and hands each row to fn as scanned values.
func rows(t *testing.T, tx *store.Tx, fn func(scan func(...any) error) error, text string, args ...any) error {
	t.Helper()
	r, err := tx.DB().QueryContext(t.Context(), text, args...)
	if err != nil {
		return err
	}
	defer r.Close()
	for r.Next() {
		if err := fn(r.Scan); err != nil {
			return err
		}
	}
	return r.Err()
}

func (c *crash) checkProducts(t *testing.T, tx *store.Tx) error {
	type state struct {
		number int64
		answer []byte
		use    int64
	}
	stored := map[string]*state{}
	err := rows(t, tx, func(scan func(...any) error) error {
		var id string
		var s state
		err := scan(&id, &s.number, &s.answer, &s.use)
		stored[id] = &s
		return err
	}, `SELECT i.instance_id, coalesce(e.number, 0), coalesce(e.answer, i.public_key), coalesce(u.quantity, 0)
FROM instance i LEFT JOIN exchange e ON e.account_id = i.account_id AND e.instance_id = i.instance_id
LEFT JOIN instance_usage u ON u.account_id = i.account_id AND u.instance_id = i.instance_id AND u.tag = 'exp-rms'
WHERE i.account_id = $1 AND i.state = 'ACTIVE'`, c.account)
	if err != nil {
		return err
	}
	for _, p := range c.products {
		s := stored[p.Instance]
		switch {
		case p.Instance == "":
			continue
		case s == nil:
			t.Errorf("the acknowledged registration of %s (%s) is missing", p.Serial, p.Instance)
			continue
		case s.number < p.answered:
			t.Errorf("%s: exchange %d was acknowledged, the database has %d", p.Serial, p.answered, s.number)
		case s.number > p.Number:
			t.Errorf("%s: exchange %d was never sent, the last one was %d", p.Serial, s.number, p.Number)
		case s.number > 0 && s.use != p.use[s.number]:
			t.Errorf("%s: exchange %d reported %d, the database has %d", p.Serial, s.number, p.use[s.number], s.use)
		}
		if s.number == p.answered && s.number > 0 && sha256.Sum256([]byte(base64.RawURLEncoding.EncodeToString(s.answer))) != p.answer {
			t.Errorf("%s: the stored answer of exchange %d is not the one that was given", p.Serial, s.number)
		}
	}
	return nil
}

func (c *crash) checkBooks(t *testing.T, tx *store.Tx) error {
	return rows(t, tx, func(scan func(...any) error) error {
		var name string
		var want, got int64
		err := scan(&name, &want, &got)
		if want != got {
			t.Errorf("%s: %d against %d", name, want, got)
		}
		return err
	}, `SELECT 'demand against reports', coalesce((SELECT sum(quantity) FROM demand WHERE account_id = $1), 0), coalesce((SELECT sum(quantity) FROM instance_usage WHERE account_id = $1), 0)
UNION ALL SELECT 'token uses against instances', (SELECT sum(uses) FROM token WHERE account_id = $1), (SELECT count(*) FROM instance WHERE account_id = $1 AND pid = 'TEST')
UNION ALL SELECT 'events against the account', (SELECT event_seq FROM account WHERE account_id = $1), (SELECT count(*) FROM event WHERE account_id = $1)
UNION ALL SELECT 'registrations against events', (SELECT count(*) FROM instance WHERE account_id = $1), (SELECT count(*) FROM event WHERE account_id = $1 AND kind = 'instance.registered')
UNION ALL SELECT 'postings against zero', coalesce((SELECT sum(quantity) FROM posting WHERE account_id = $1), 0), 0
UNION ALL SELECT 'posts against the cluster', (SELECT sum(last_seq) FROM cluster WHERE account_id = $1), (SELECT count(*) FROM cdr_post WHERE account_id = $1)
UNION ALL SELECT 'meetings written', (SELECT sum(last_seq) FROM cluster WHERE account_id = $1), (SELECT sum(projected_seq) FROM cluster WHERE account_id = $1)`, c.account)
}

// checkRecords reads every stored post again: each acknowledged record stands in exactly one of them, and the meetings have
// exactly the stored records.
func (c *crash) checkRecords(t *testing.T, tx *store.Tx) error {
	seen := map[string]int{}
	err := rows(t, tx, func(scan func(...any) error) error {
		var body []byte
		if err := scan(&body); err != nil {
			return err
		}
		body, err := store.Unpack(body)
		if err != nil {
			return err
		}
		post, err := cdr.Parse(body)
		for _, r := range post.Records {
			seen[fmt.Sprintf("%s/%d", post.Session, r.Correlator)]++
		}
		return err
	}, `SELECT body FROM cdr_post WHERE account_id = $1`, c.account)
	if err != nil {
		return err
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("record %s is stored %d times", id, n)
		}
	}
	for _, b := range c.bridges {
		for correlator := range b.acked {
			if seen[fmt.Sprintf("%s/%d", b.Session(), correlator)] == 0 {
				t.Errorf("the acknowledged record %s/%d is missing", b.Session(), correlator)
			}
		}
	}
	return c.checkMeetings(t, tx, len(seen))
}

// checkMeetings compares the records that the meetings keep with those that are stored.
func (c *crash) checkMeetings(t *testing.T, tx *store.Tx, stored int) error {
	counted := map[string]int{}
	err := rows(t, tx, func(scan func(...any) error) error {
		var body []byte
		if err := scan(&body); err != nil {
			return err
		}
		records, err := cdr.Decode(body)
		for _, r := range records {
			counted[fmt.Sprintf("%s/%d", r.Session, r.Correlator)]++
		}
		return err
	}, `SELECT records FROM meeting WHERE account_id = $1`, c.account)
	if len(counted) != stored {
		t.Errorf("%d records are stored, the meetings have %d", stored, len(counted))
	}
	for id, n := range counted {
		if n != 1 {
			t.Errorf("record %s counts %d times", id, n)
		}
	}
	return err
}
