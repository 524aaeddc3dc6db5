package license

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxEvaluations bounds the licensed versions that one product has evaluated.
const maxEvaluations = 32

// EvaluationClock is the time in which a product used licenses without being registered, of one licensed version. It only
// grows (domain rule 32).
type EvaluationClock struct {
	Used time.Duration `json:"used"`
}

// Remaining is what is left of the 90 days, never negative.
func (c EvaluationClock) Remaining() time.Duration { return max(0, Evaluation-c.Used) }

// Expired says that nothing is left.
func (c EvaluationClock) Expired() bool { return c.Remaining() == 0 }

// VersionEvaluation is the evaluation of one licensed version, with the tags that were used in it.
type VersionEvaluation struct {
	Version string `json:"version"`
	Tags    []Tag  `json:"tags,omitempty"`
	EvaluationClock
}

// Evaluations are all evaluations that a product began, oldest first. A product has 90 days in total per licensed version:
// an upgrade to a version that needs other tags starts one new evaluation; the same version never gets a second one, nor does
// an upgrade that needs no other tag, nor a downgrade.
type Evaluations []VersionEvaluation

// LicensedVersion is the part of a product's version that licenses are sold for, when the product does not say: the number
// before the first dot.
func LicensedVersion(version string) string {
	major, _, _ := strings.Cut(strings.TrimSpace(version), ".")
	return major
}

// of finds the evaluation that counts for a version that uses tags, -1 when a new one would begin.
func (e Evaluations) of(version string, tags []Tag) int {
	for i, v := range e {
		if v.Version == version {
			return i
		}
	}
	last := len(e) - 1
	if last < 0 || len(e) >= maxEvaluations {
		return last
	}
	for _, v := range e {
		if !later(version, v.Version) {
			return last
		}
	}
	for _, tag := range tags {
		if !slices.ContainsFunc(e, func(v VersionEvaluation) bool { return slices.Contains(v.Tags, tag) }) {
			return -1
		}
	}
	return last
}

// Of is the evaluation that counts for a version that uses tags.
func (e Evaluations) Of(version string, tags []Tag) EvaluationClock {
	if i := e.of(version, tags); i >= 0 {
		return e[i].EvaluationClock
	}
	return EvaluationClock{}
}

// Spend counts time in which the version used the tags without being registered. The first call for a version begins its
// evaluation, also with no time. The receiver is not changed.
func (e Evaluations) Spend(version string, tags []Tag, d time.Duration) Evaluations {
	if len(tags) == 0 {
		return e
	}
	next := slices.Clone(e)
	i := e.of(version, tags)
	if i < 0 {
		next, i = append(next, VersionEvaluation{Version: version}), len(next)
	}
	v := &next[i]
	v.Used = min(Evaluation, v.Used+max(d, 0))
	v.Tags = joined(v.Tags, tags)
	return next
}

// Merge is the effective state of two memories of the same product: of every version the greater use. What either side has
// seen is never forgotten.
func (e Evaluations) Merge(other Evaluations) Evaluations {
	next := slices.Clone(e)
	for _, o := range other {
		i := slices.IndexFunc(next, func(v VersionEvaluation) bool { return v.Version == o.Version })
		if i < 0 {
			if len(next) < maxEvaluations {
				o.Used = min(Evaluation, max(o.Used, 0))
				next = append(next, o)
			}
			continue
		}
		next[i].Used = min(Evaluation, max(next[i].Used, o.Used))
		next[i].Tags = joined(next[i].Tags, o.Tags)
	}
	return next
}

// joined is both sets of tags, sorted, at most as many as a product may report.
func joined(x, y []Tag) []Tag {
	all := append(slices.Clone(x), y...)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), 100)]
}

// later compares two licensed versions: number by number, other parts as text.
func later(x, y string) bool {
	for x != "" || y != "" {
		var a, b string
		a, x, _ = strings.Cut(x, ".")
		b, y, _ = strings.Cut(y, ".")
		if a == b {
			continue
		}
		m, errM := strconv.Atoi(a)
		n, errN := strconv.Atoi(b)
		if errM == nil && errN == nil && m != n {
			return m > n
		}
		return a > b
	}
	return false
}
