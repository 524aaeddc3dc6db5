//go:build !race

package satellite_test

// slower is by how much the bounds of time are stretched. Without the race detector the bounds are those that the manual states.
const slower = 1
