package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// demoDay is how much of the past the demo's meetings fill.
const demoDay = 9 * time.Hour

// demoMeeting is one line of the demo's day. Minutes count from its begin; a meeting that lasts beyond the end of the day is
// still running when everything is sent.
type demoMeeting struct {
	begin, minutes int
	place          string // name of a space, or one of the two below
	people         int
	away           bool // the owner never comes
}

// Places of meetings without a permanent space.
const (
	adHoc   = "" // two people, who may add others
	gateway = "gateway"
)

// demoMeetings is the demo's day: 40 meetings. At noon (from minute 236) and at the end more of them share licenses than the
// estate has bought.
func demoMeetings() []demoMeeting {
	return []demoMeeting{
		{0, 26, "Boardroom", 3, false},
		{3, 41, "Alice Moreau's space", 4, false},
		{12, 17, gateway, 2, false},
		{18, 55, "Dmitri Tanaka's space", 5, true},
		{27, 38, adHoc, 3, false},
		{39, 22, "Facilities planning", 3, false},
		{47, 62, "Greta Fischer's space", 6, false},
		{58, 33, "Reception", 2, false},
		{66, 29, "Jonas Bennett's space", 3, true},
		{79, 12, adHoc, 2, false},
		{85, 58, "Mona Moreau's space", 7, false},
		{94, 27, "Visitors", 4, false},
		{103, 44, "Pavel Tanaka's space", 3, false},
		{117, 36, "Works council", 5, false},
		{124, 19, gateway, 2, false},
		{133, 51, "Samir Fischer's space", 4, true},
		{141, 24, "Project Aurora", 3, false},
		{152, 47, "Alice Moreau's space", 3, false},
		{167, 21, adHoc, 4, false},
		{178, 63, "Training room", 9, false},
		{189, 34, "Dmitri Tanaka's space", 2, false},
		{204, 28, "Language exchange", 4, false},
		{216, 39, "Greta Fischer's space", 5, true},
		{236, 48, "Town hall", 12, false},
		{238, 44, "Incident bridge", 6, false},
		{240, 31, "Apprentices", 5, false},
		{243, 37, "Boardroom", 4, false},
		{251, 18, gateway, 2, false},
		{288, 45, "Jonas Bennett's space", 4, false},
		{307, 26, "Canteen crew", 3, false},
		{331, 52, "Mona Moreau's space", 3, true},
		{352, 23, adHoc, 3, false},
		{374, 61, "Pavel Tanaka's space", 6, false},
		{409, 35, "Fire wardens", 4, false},
		{448, 57, "Samir Fischer's space", 5, false},
		{487, 90, "Alice Moreau's space", 4, true},
		{499, 90, "Town hall", 8, false},
		{508, 90, "Incident bridge", 5, false},
		{517, 90, "Visitors", 3, false},
		{524, 90, "Project Aurora", 4, false},
	}
}

// demoPost is one body of call records and when the call bridge would have sent it.
type demoPost struct {
	at   time.Time
	body []byte
}

// The documents of a call bridge, with the elements that real ones send.
type (
	xmlPost struct {
		XMLName    xml.Name    `xml:"records"`
		Session    string      `xml:"session,attr"`
		CallBridge string      `xml:"callBridge,attr"`
		Records    []xmlRecord `xml:"record"`
	}
	xmlRecord struct {
		Type       string   `xml:"type,attr"`
		Time       string   `xml:"time,attr"`
		Index      int      `xml:"recordIndex,attr"`
		Correlator int      `xml:"correlatorIndex,attr"`
		Call       *xmlCall `xml:"call"`
		Leg        *xmlLeg  `xml:"callLeg"`

		at time.Time
	}
	xmlCall struct {
		ID            string `xml:"id,attr"`
		Name          string `xml:"name,omitempty"`
		OwnerName     string `xml:"ownerName,omitempty"`
		CallType      string `xml:"callType,omitempty"`
		Space         string `xml:"coSpace,omitempty"`
		Correlator    string `xml:"callCorrelator,omitempty"`
		LegsCompleted int    `xml:"callLegsCompleted,omitempty"`
		LegsMaxActive int    `xml:"callLegsMaxActive,omitempty"`
		Duration      int    `xml:"durationSeconds,omitempty"`
	}
	xmlLeg struct {
		ID             string    `xml:"id,attr"`
		DisplayName    string    `xml:"displayName,omitempty"`
		RemoteParty    string    `xml:"remoteParty,omitempty"`
		RemoteAddress  string    `xml:"remoteAddress,omitempty"`
		LocalAddress   string    `xml:"localAddress,omitempty"`
		Type           string    `xml:"type,omitempty"`
		SubType        string    `xml:"subType,omitempty"`
		Direction      string    `xml:"direction,omitempty"`
		State          string    `xml:"state,omitempty"`
		Call           string    `xml:"call,omitempty"`
		Deactivated    string    `xml:"deactivated,omitempty"`
		GroupID        string    `xml:"groupId,omitempty"`
		SIPCallID      string    `xml:"sipCallId,omitempty"`
		Reason         string    `xml:"reason,omitempty"`
		RemoteTeardown string    `xml:"remoteTeardown,omitempty"`
		Duration       int       `xml:"durationSeconds,omitempty"`
		Activated      int       `xml:"activatedDuration,omitempty"`
		Encrypted      string    `xml:"encryptedMedia,omitempty"`
		RxAudio        *xmlMedia `xml:"rxAudio"`
		TxAudio        *xmlMedia `xml:"txAudio"`
		RxVideo        *xmlMedia `xml:"rxVideo"`
		TxVideo        *xmlMedia `xml:"txVideo"`
	}
	xmlMedia struct {
		Codec  string `xml:"codec"`
		Width  int    `xml:"maxSizeWidth,omitempty"`
		Height int    `xml:"maxSizeHeight,omitempty"`
	}
)

// demoPosts writes the day that ends at end as a call bridge sends it: records in the order of time, those of one moment in
// one body. The same end gives the same bytes.
func demoPosts(d demoDirectory, end time.Time) ([]demoPost, error) {
	end = end.UTC().Truncate(time.Second)
	var records []xmlRecord
	for i, m := range demoMeetings() {
		records = append(records, m.records(d, i, end.Add(-demoDay))...)
	}
	records = slices.DeleteFunc(records, func(r xmlRecord) bool { return r.at.After(end) })
	slices.SortStableFunc(records, func(a, b xmlRecord) int { return a.at.Compare(b.at) })
	for i := range records {
		r := &records[i]
		r.Index, r.Correlator, r.Time = i+1, i, r.at.Format(time.RFC3339)
	}
	var posts []demoPost
	for len(records) > 0 {
		n := 1
		for n < len(records) && n < 10 && records[n].at.Sub(records[0].at) < 2*time.Second {
			n++
		}
		post := xmlPost{Session: guid("session", end.Format(time.RFC3339)), CallBridge: guid("callbridge", "cb1"), Records: records[:n]}
		body, err := xml.Marshal(post)
		if err != nil {
			return nil, fmt.Errorf("write call records: %w", err)
		}
		posts = append(posts, demoPost{records[n-1].at, append([]byte(xml.Header), body...)})
		records = records[n:]
	}
	return posts, nil
}

// records are all records of a meeting that nothing cuts off.
func (m demoMeeting) records(d demoDirectory, number int, day time.Time) []xmlRecord {
	begin := day.Add(time.Duration(m.begin) * time.Minute)
	end := begin.Add(time.Duration(m.minutes)*time.Minute - time.Duration(number*7%50)*time.Second)
	id := guid("call", day.Format(time.RFC3339), strconv.Itoa(number))
	call := &xmlCall{ID: id, Correlator: guid("correlator", id)}
	var owner demoUser
	switch m.place {
	case adHoc:
		call.CallType, call.Name = "adHoc", fmt.Sprintf("00124%03d", number)
	case gateway:
		call.CallType, call.Name = "forwarding", "partner@contoso.example"
	default:
		space := d.space(m.place)
		call.CallType, call.Name, call.Space = "coSpace", space.Name, space.ID
		owner, _ = d.user(space.Owner)
		call.OwnerName = owner.Name
	}
	records := []xmlRecord{{Type: "callStart", at: begin, Call: call}}
	people := m.participants(d, owner, number)
	for j, leg := range people {
		from := begin.Add(time.Duration(j*j*9+j*(number%5)) * time.Second)
		if m.place == adHoc && j >= 2 { // two first, the others are added to the call
			from = begin.Add(time.Duration(4+2*j) * time.Minute)
		}
		to := end.Add(-time.Duration((len(people)-1-j)%3*40) * time.Second)
		records = append(records, leg.records(id, from, to)...)
	}
	return append(records, xmlRecord{Type: "callEnd", at: end, Call: &xmlCall{
		ID: id, LegsCompleted: len(people), LegsMaxActive: len(people), Duration: int(end.Sub(begin).Seconds()),
	}})
}

// participants are the legs of a meeting: people with the app, rooms and desk phones over SIP, guests.
func (m demoMeeting) participants(d demoDirectory, owner demoUser, number int) []xmlLeg {
	var legs []xmlLeg
	if owner.JID != "" && !m.away {
		legs = append(legs, xmlLeg{DisplayName: owner.Name, RemoteParty: owner.JID, Type: "acano", Direction: "incoming"})
	}
	for j := len(legs); j < m.people; j++ {
		u := d.Users[(number*13+j*7)%len(d.Users)]
		if u.JID == owner.JID {
			u = d.Users[(number*13+j*7+1)%len(d.Users)]
		}
		leg := xmlLeg{DisplayName: u.Name, RemoteParty: u.JID, Type: "acano", Direction: "incoming"}
		switch {
		case m.place == gateway && j == 1:
			leg = xmlLeg{DisplayName: "Partner, Contoso", RemoteParty: "partner@contoso.example", Type: "sip", SubType: "lync", Direction: "outgoing"}
		case m.place == adHoc || m.place == gateway:
			leg.Type, leg.RemoteAddress = "sip", u.JID
		case j%4 == 2:
			room := fmt.Sprintf("room-%d%02d", 1+number%4, 1+(number+j)%9)
			leg = xmlLeg{DisplayName: room, RemoteParty: room + "@" + demoDomain, Type: "sip", Direction: "incoming"}
		case j%5 == 4:
			leg = xmlLeg{DisplayName: "Guest", RemoteParty: fmt.Sprintf("guest%d", 1000+number*10+j), Type: "acano", SubType: "webApp", Direction: "incoming"}
		}
		legs = append(legs, leg)
	}
	for j := range legs {
		legs[j].ID = guid("leg", strconv.Itoa(number), strconv.Itoa(j))
		legs[j].GroupID = guid("group", legs[j].ID)
		if legs[j].Type == "sip" {
			legs[j].SIPCallID = guid("sip", legs[j].ID)
			legs[j].LocalAddress = cmp.Or(m.place, "adhoc") + "@meet." + demoDomain
		}
	}
	return legs
}

// records are those of one leg: it starts, is connected in the same second, and ends.
func (l xmlLeg) records(call string, from, to time.Time) []xmlRecord {
	start := l
	start.Call = call
	connected := xmlLeg{ID: l.ID, State: "connected", Call: call, Deactivated: "false", GroupID: l.GroupID, SIPCallID: l.SIPCallID,
		DisplayName: l.DisplayName, RemoteAddress: l.RemoteAddress}
	seconds := int(to.Sub(from).Seconds())
	video := &xmlMedia{"h264", 1280, 720}
	ended := xmlLeg{ID: l.ID, Reason: "remoteTeardown", RemoteTeardown: "true", Duration: seconds, Activated: seconds, Encrypted: "true",
		RxAudio: &xmlMedia{Codec: "opus"}, TxAudio: &xmlMedia{Codec: "opus"}, RxVideo: video, TxVideo: video}
	return []xmlRecord{
		{Type: "callLegStart", at: from, Leg: &start},
		{Type: "callLegUpdate", at: from, Leg: &connected},
		{Type: "callLegEnd", at: to, Leg: &ended},
	}
}
