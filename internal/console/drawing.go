package console

import (
	"time"
)

// Drawings are made of these parts, in units of a box that is canvas wide. Coordinates are text because they end up in
// attributes. The style sheet gives every class its color.

// The width of every drawing, and what it leaves free at its right.
const (
	canvas = 960
	margin = 22
)

// box is one rectangle. Its title shows under the pointer; further marks one that only goes on where the box before it
// ends, so that who hears the picture is not told twice.
type box struct {
	x, y, width, height, class, title string
	further                           bool
}

type label struct{ x, y, class, text, anchor string }

type line struct{ x1, y1, x2, y2, class string }

// drawing is one picture and the sentence that says what it shows to those who do not see it.
type drawing struct {
	height string
	says   string
	lines  []line
	boxes  []box
	labels []label
}

func (d *drawing) box(x, y, width, height float64, class, title string) {
	d.boxes = append(d.boxes, box{x: decimal(x), y: decimal(y), width: decimal(max(width, 1)), height: decimal(height), class: class, title: title})
}

func (d *drawing) label(x, y float64, class, anchor, text string) {
	d.labels = append(d.labels, label{decimal(x), decimal(y), class, text, anchor})
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	d.lines = append(d.lines, line{decimal(x1), decimal(y1), decimal(x2), decimal(y2), class})
}

// span maps the time between two instants onto a part of the canvas.
type span struct {
	from, to    time.Time
	left, right float64
}

func (s span) x(t time.Time) float64 {
	whole := s.to.Sub(s.from)
	if whole <= 0 {
		return s.left
	}
	at := min(max(t.Sub(s.from), 0), whole)
	return s.left + (s.right-s.left)*float64(at)/float64(whole)
}

// times writes round times under a drawing that ends at bottom.
func (d *drawing) times(s span, bottom float64) {
	step := stepOf(s.to.Sub(s.from))
	layout := "15:04"
	switch {
	case step >= day:
		layout = "Jan 2"
	case step < time.Minute:
		layout = time.TimeOnly
	}
	first := s.from.Truncate(step)
	if first.Before(s.from) {
		first = first.Add(step)
	}
	for t := first; !t.After(s.to); t = t.Add(step) {
		d.line(s.x(t), bottom, s.x(t), bottom+4, "grid")
		d.label(s.x(t), bottom+17, "", "middle", t.UTC().Format(layout))
	}
}

// grid draws lines at the round times from top to bottom.
func (d *drawing) grid(s span, top, bottom float64) {
	before := len(d.lines)
	d.times(s, bottom)
	for i := range d.lines[before:] {
		d.lines[before+i].y1 = decimal(top)
	}
}

// stepOf is the least round step that parts a length of time into at most eight.
func stepOf(whole time.Duration) time.Duration {
	for _, step := range []time.Duration{
		10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day,
	} {
		if whole <= 8*step {
			return step
		}
	}
	return max(whole.Truncate(day)/8, 4*day).Truncate(day)
}
