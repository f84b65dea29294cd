"""The parts that spaces compose: one file per axis, with a table of its options at the foot of each."""
