"""The compiled half of fastnn: knows pointers, sizes and strides, and imports nothing from above it."""
