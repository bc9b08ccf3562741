"""A camera for everyone: a recording, images, a video or a video device as image topics."""
