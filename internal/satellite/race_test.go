//go:build race

package satellite_test

// slower is by how much the bounds of time are stretched. The race detector makes everything slower; what it slows down most is the embedded database.
const slower = 8
