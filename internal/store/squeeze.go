package store

import (
	"encoding/binary"
	"math/bits"
)

// squeezer packs bodies of the usual size: it writes the same S2 blocks with dictionary 1 that the library's encoder does, with
// tables that stay in the processor's first cache. The library's take 96 KiB for each body, which costs more than the packing.
type squeezer struct {
	all   []byte // the dictionary, and the body after it
	words int    // bytes of the dictionary
	known squeezeTable
	table squeezeTable
	out   []byte
}

// squeezeTable is where the bytes of a hash were seen last, plus one.
type squeezeTable [1 << squeezeBits]uint16

const (
	squeezeBits = 12
	squeezeMost = 48 << 10 // bytes of a body; larger ones are rare
	squeezeTail = 8        // bytes at the end that no match begins in

	// Tags of S2 elements.
	tagLiteral = 0
	tagCopy1   = 1
	tagCopy2   = 2
	leastMatch = 4
)

func squeezeHash(v uint64) uint64 { return v << 24 * 0x9e3779b185ebca87 >> (64 - squeezeBits) } // of five bytes

func newSqueezer(dictionary []byte) *squeezer {
	s := &squeezer{all: append([]byte(nil), dictionary...), words: len(dictionary)}
	for i := 0; i+squeezeTail <= len(dictionary); i++ {
		s.known[squeezeHash(binary.LittleEndian.Uint64(dictionary[i:]))] = uint16(i + 1)
	}
	return s
}

// squeeze returns the block of a body of at most squeezeMost bytes, which is good until the next call.
func (s *squeezer) squeeze(body []byte) []byte {
	s.all = append(s.all[:s.words], body...)
	s.table = s.known
	s.out = binary.AppendUvarint(s.out[:0], uint64(len(body)))
	all, words := s.all, s.words
	literal, offset := words, 0
	for i := words; i+squeezeTail <= len(all); {
		v := binary.LittleEndian.Uint64(all[i:])
		h := squeezeHash(v)
		at := int(s.table[h]) - 1
		s.table[h] = uint16(i + 1)
		if at < 0 || binary.LittleEndian.Uint32(all[at:]) != uint32(v) {
			i += 1 + (i-literal)>>6
			continue
		}
		for i > literal && at > 0 && at != words && all[i-1] == all[at-1] {
			i, at = i-1, at-1
		}
		most := len(all) - i
		if at < words { // a match in the dictionary ends there
			most = min(most, words-at)
		}
		n := alike(all[at:at+most], all[i:])
		if n < leastMatch {
			i += 1 + (i-literal)>>6
			continue
		}
		s.literal(all[literal:i])
		s.copy(i-at, n, i-at == offset)
		offset = i - at
		i += n
		literal = i
		if j := i - 2; j+squeezeTail <= len(all) {
			s.table[squeezeHash(binary.LittleEndian.Uint64(all[j:]))] = uint16(j + 1)
		}
	}
	s.literal(all[literal:])
	return s.out
}

// alike is how many bytes at the head of a stand at the head of b as well, which is no shorter than a.
func alike(a, b []byte) int {
	n := 0
	for n+8 <= len(a) {
		if diff := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); diff != 0 {
			return n + bits.TrailingZeros64(diff)/8
		}
		n += 8
	}
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return n
}

func (s *squeezer) literal(text []byte) {
	switch n := len(text) - 1; {
	case n < 0:
		return
	case n < 60:
		s.out = append(s.out, byte(n)<<2|tagLiteral)
	case n < 1<<8:
		s.out = append(s.out, 60<<2|tagLiteral, byte(n))
	default:
		s.out = append(s.out, 61<<2|tagLiteral, byte(n), byte(n>>8))
	}
	s.out = append(s.out, text...)
}

// copy writes a match of n bytes, at least leastMatch; again says that the offset is that of the match before.
func (s *squeezer) copy(offset, n int, again bool) {
	switch {
	case again:
		s.repeat(n)
	case offset < 1<<11 && n < 12:
		s.out = append(s.out, byte(offset>>8)<<5|byte(n-4)<<2|tagCopy1, byte(offset))
	case n <= 64:
		s.out = append(s.out, byte(n-1)<<2|tagCopy2, byte(offset), byte(offset>>8))
	default:
		s.out = append(s.out, 59<<2|tagCopy2, byte(offset), byte(offset>>8))
		s.repeat(n - 60)
	}
}

// repeat goes on with the offset of the match before.
func (s *squeezer) repeat(n int) {
	switch n -= 4; {
	case n < 5:
		s.out = append(s.out, byte(n)<<2|tagCopy1, 0)
	case n-4 < 1<<8:
		s.out = append(s.out, 5<<2|tagCopy1, 0, byte(n-4))
	default: // below 64 KiB
		n -= 1 << 8
		s.out = append(s.out, 6<<2|tagCopy1, 0, byte(n), byte(n>>8))
	}
}
