"""How synthetic radiographs come about: animals, their matter, and the exposure."""
