"""Will it fit? What a training run needs, which techniques make it fit, and how large it may be."""
