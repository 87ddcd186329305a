"""How synthetic radiographs come about: animals, what they are made of, and how they are exposed."""
