package estate

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"
)

// record is one call-detail record with what it says, before it is written.
type record struct {
	kind       string
	at         int64
	run        *run
	correlator int64
	lost       bool  // for every receiver
	missing    int64 // so many before it were lost

	call      *call // that it is about, or that its leg is in
	leg       *leg
	connected bool
	lobby     bool
	ivr       bool
	name      string // other than the leg's
	seconds   int64  // on ends
	empty     int    // which of four ways to say that there is no owner

	text string // what inside makes, once and before anybody posts it
}

// rank orders what a bridge makes in one second.
func (r *record) rank() int {
	return slices.Index([]string{"callStart", "callLegStart", "callLegUpdate", "recordingStart", "streamingStart", "recordingEnd",
		"streamingEnd", "callLegEnd", "callEnd"}, r.kind)
}

// xml writes the record as the receiver gets it that counts it with this index.
func (r *record) xml(b *strings.Builder, index int, missing int64) {
	fmt.Fprintf(b, `<record type="%s" time="%s" recordIndex="%d" correlatorIndex="%d"`, r.kind, time.Unix(r.at, 0).UTC().Format(time.RFC3339), index, r.correlator)
	if missing > 0 {
		fmt.Fprintf(b, ` numPreceedingRecordsMissing="%d"`, missing)
	}
	b.WriteString(">\n")
	b.WriteString(r.text)
	b.WriteString("</record>\n")
}

// fields writes elements in the order given.
type fields struct{ strings.Builder }

// put writes an element; nothing for an empty text.
func (f *fields) put(name, text string) {
	if text != "" {
		f.WriteString("<" + name + ">")
		_ = xml.EscapeText(f, []byte(text)) // a Builder takes everything
		f.WriteString("</" + name + ">")
	}
}

func (f *fields) number(name string, n int64) { f.put(name, fmt.Sprint(n)) }

func (r *record) inside() string {
	var f fields
	switch r.kind {
	case "callStart":
		fmt.Fprintf(&f, `<call id="%s">`, r.call.id)
		r.callStart(&f)
		f.WriteString("</call>")
	case "callEnd":
		completed, most := r.call.legsCompleted(), r.call.legsMost()
		fmt.Fprintf(&f, `<call id="%s">`, r.call.id)
		f.number("callLegsCompleted", completed)
		f.number("callLegsMaxActive", most)
		f.number("durationSeconds", r.seconds)
		f.WriteString("</call>")
	case "recordingStart", "streamingStart", "recordingEnd", "streamingEnd":
		r.medium(&f)
	default:
		fmt.Fprintf(&f, `<callLeg id="%s">`, r.leg.id)
		switch r.kind {
		case "callLegStart":
			r.legStart(&f)
		case "callLegUpdate":
			r.legUpdate(&f)
		case "callLegEnd":
			r.legEnd(&f)
		}
		f.WriteString("</callLeg>")
	}
	return f.String()
}

func (r *record) callStart(f *fields) {
	p := r.call.plan
	f.put("name", p.name)
	switch {
	case p.passed != "":
		f.put("ownerName", p.passed)
	case r.empty == 0:
		f.WriteString("<ownerName></ownerName>")
	case r.empty == 1:
		f.WriteString("<ownerName/>")
	case r.empty == 2:
		f.WriteString("<ownerName> </ownerName>")
	}
	f.put("callType", p.kind)
	if p.space != nil {
		f.put("coSpace", p.space.ID)
	}
	f.put("callCorrelator", p.correlator)
}

func (r *record) where(f *fields) {
	switch {
	case r.call != nil:
		f.put("call", r.call.id)
	case r.ivr:
		f.WriteString("<ivr/>")
	}
}

func (r *record) legStart(f *fields) {
	l := r.leg
	f.put("remoteParty", l.party())
	direction := "incoming"
	if l.out {
		direction = "outgoing"
	}
	if l.web {
		f.put("displayName", r.says())
		if l.user.Guest {
			f.put("guestConnection", "true")
		}
		f.put("type", "acano")
		f.put("direction", direction)
		r.where(f)
		f.put("groupId", l.id)
		f.put("canMove", "true")
	} else {
		f.put("localAddress", "meet@acme.example")
		f.put("type", "sip")
		f.put("subType", l.sub)
		if l.sub == "lync" {
			f.put("lyncSubType", "audioVideo")
		}
		f.put("direction", direction)
		if l.recorder {
			f.put("recording", "true")
		}
		r.where(f)
		f.put("groupId", l.id[:35]+"0")
		f.put("sipCallId", strings.ReplaceAll(l.id, "-", ""))
	}
	if l.moved != nil {
		f.put("movedCallLeg", l.moved.id)
		f.put("movedCallLegCallBridge", l.bridge.id)
	}
}

func (r *record) legUpdate(f *fields) {
	l := r.leg
	if r.connected {
		f.put("state", "connected")
	}
	r.where(f)
	f.put("deactivated", fmt.Sprint(r.lobby))
	if l.web {
		f.put("groupId", l.id)
	} else {
		f.put("groupId", l.id[:35]+"0")
		f.put("sipCallId", strings.ReplaceAll(l.id, "-", ""))
	}
	f.put("displayName", r.says())
	f.put("remoteAddress", l.party())
}

// says is the name that the record gives to its leg.
func (r *record) says() string {
	if r.name != "" {
		return r.name
	}
	return r.leg.name()
}

func (r *record) legEnd(f *fields) {
	l := r.leg
	f.put("reason", l.reason)
	f.put("remoteTeardown", fmt.Sprint(l.reason == "remoteTeardown"))
	f.number("durationSeconds", r.seconds)
	f.number("activatedDuration", r.seconds)
	if r.seconds == 0 {
		return
	}
	if !l.audio {
		f.WriteString("<mediaUsagePercentages><mainVideoViewer>98.9</mainVideoViewer><mainVideoContributor>100.0</mainVideoContributor></mediaUsagePercentages>")
	}
	f.WriteString(`<alarm type="packetLoss" durationPercentage="0.1" /><encryptedMedia>true</encryptedMedia>` +
		`<rxAudio><codec>opus</codec></rxAudio><txAudio><codec>opus</codec></txAudio>`)
	if !l.audio {
		f.WriteString("<rxVideo><codec>h264</codec><maxSizeWidth>1280</maxSizeWidth><maxSizeHeight>720</maxSizeHeight></rxVideo>" +
			"<txVideo><codec>h264</codec><maxSizeWidth>1280</maxSizeWidth><maxSizeHeight>720</maxSizeHeight></txVideo>")
	}
}

func (r *record) medium(f *fields) {
	l := r.leg
	fmt.Fprintf(f, `<%s id="%s">`, l.media, l.id)
	if strings.HasSuffix(r.kind, "Start") {
		if l.media == "recording" {
			f.put("path", "spaces/"+r.call.plan.space.ID+"/"+time.Unix(r.at, 0).UTC().Format("20060102150405")+"+0000\n")
			f.put("recorderUrl", "https://192.0.2.40:8443\n")
		} else {
			f.put("streamUrl", "rtmp://stream.acme.example/push/"+l.id+"\n")
			f.put("streamerUrl", "https://192.0.2.41:443\n")
		}
		f.put("call", r.call.id+"\n")
		f.put("callLeg", l.at+"\n")
	}
	f.WriteString("</" + l.media + ">")
}

// here reports whether the leg was ever heard of in a call, before any loss.
func (l *leg) here(c *call) bool {
	return slices.ContainsFunc(l.records, func(r *record) bool { return r.call == c })
}

// legsCompleted is how many legs the bridge counted in the call.
func (c *call) legsCompleted() (n int64) {
	for _, l := range c.legs {
		if l.media == "" && l.here(c) {
			n++
		}
	}
	return n
}

// legsMost is the most that took part at once, as the bridge counted.
func (c *call) legsMost() int64 {
	var stays []stay
	for _, l := range c.legs {
		for _, s := range l.stays {
			if s.call == c && l.here(c) {
				stays = append(stays, s)
			}
		}
	}
	return most(levels(stays, c.from, c.to))
}

// level is how many take part in one second.
type level struct{ people, sound, recorders int }

// levels counts the stays in each second of [from, to).
func levels(stays []stay, from, to int64) []level {
	out := make([]level, max(0, to-from))
	for _, s := range stays {
		for at := max(s.from, from); at < min(s.to, to); at++ {
			out[at-from].people++
			switch s.as {
			case sound:
				out[at-from].sound++
			case recorder:
				out[at-from].recorders++
			}
		}
	}
	return out
}

func most(levels []level) (n int64) {
	for _, l := range levels {
		n = max(n, int64(l.people))
	}
	return n
}
