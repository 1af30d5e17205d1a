"""Line mode: the chat without a full screen, for screen readers and narrow links."""
