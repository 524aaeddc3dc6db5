package play

import (
	"fmt"
	"strings"
	"time"
)

// Bridge plays the records of one call bridge: meetings of four participants, one after the other, with the elements and the
// length of real records.
type Bridge struct {
	session string
	now     time.Time
	index   int64
	meeting int
	queue   []string
}

// NewBridge makes a bridge with a session of its own, which starts its first meeting of half an hour at start.
func NewBridge(n int, start time.Time) *Bridge {
	return &Bridge{session: fmt.Sprintf("%08x-0000-4000-8000-%012x", start.UnixNano()&0xffffffff, n), now: start}
}

// Session is the bridge's session id.
func (b *Bridge) Session() string { return b.session }

// Next is the correlator index of the first record of the next post.
func (b *Bridge) Next() int64 { return b.index - int64(len(b.queue)) }

// Post renders the next n records as one document.
func (b *Bridge) Post(n int) []byte {
	for len(b.queue) < n {
		b.play()
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<?xml version="1.0"?><records session="%s">`, b.session)
	for _, r := range b.queue[:n] {
		s.WriteString(r)
	}
	s.WriteString("\n</records>\n")
	b.queue = b.queue[n:]
	return []byte(s.String())
}

func (b *Bridge) record(kind, body string) {
	b.queue = append(b.queue, fmt.Sprintf("<record type=\"%s\" time=\"%s\" recordIndex=\"%d\" correlatorIndex=\"%d\">\n%s</record>",
		kind, b.now.UTC().Format(time.RFC3339), b.index+1, b.index, body))
	b.index++
}

// play appends the records of one meeting: a start, two records a participant, and the ends.
func (b *Bridge) play() {
	b.meeting++
	unique := fmt.Sprintf("%s%06x", b.session[len(b.session)-6:], b.meeting)
	call := b.session[:24] + unique
	space := fmt.Sprintf("00000000-0000-4000-a000-%012x", b.meeting%500)
	b.record("callStart", fmt.Sprintf("<call id=\"%s\"><name>Weekly meeting %d</name><callType>coSpace</callType><coSpace>%s</coSpace><callCorrelator>%s</callCorrelator></call>",
		call, b.meeting, space, "c"+call[1:]))
	const length = 30 * time.Minute
	whole := int(length/time.Second) + 4
	legs := make([]string, 4)
	for i := range legs {
		legs[i] = fmt.Sprintf("%s-%04x-4000-b000-%s", b.session[:8], i, unique)
		b.record("callLegStart", fmt.Sprintf("<callLeg id=\"%s\"><remoteParty>user%d@example.org</remoteParty><displayName>User %d</displayName><type>acano</type><direction>incoming</direction><call>%s</call><groupId>%s</groupId></callLeg>",
			legs[i], i, i, call, legs[i]))
		b.record("callLegUpdate", fmt.Sprintf("<callLeg id=\"%s\"><state>connected</state><call>%s</call><deactivated>false</deactivated><groupId>%s</groupId><displayName>User %d</displayName></callLeg>",
			legs[i], call, legs[i], i))
		b.now = b.now.Add(time.Second)
	}
	b.now = b.now.Add(length)
	for i := range legs {
		b.record("callLegEnd", fmt.Sprintf("<callLeg id=\"%s\"><reason>remoteTeardown</reason><remoteTeardown>true</remoteTeardown><durationSeconds>%d</durationSeconds><activatedDuration>%d</activatedDuration><mediaUsagePercentages><mainVideoViewer>98.9</mainVideoViewer><mainVideoContributor>100.0</mainVideoContributor></mediaUsagePercentages><encryptedMedia>true</encryptedMedia><rxAudio><codec>opus</codec></rxAudio><txAudio><codec>opus</codec></txAudio></callLeg>",
			legs[i], whole-i, whole-i))
	}
	b.record("callEnd", fmt.Sprintf("<call id=\"%s\"><callLegsCompleted>4</callLegsCompleted><callLegsMaxActive>4</callLegsMaxActive><durationSeconds>%d</durationSeconds></call>", call, whole))
	b.now = b.now.Add(length / 10)
}
