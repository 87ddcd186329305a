"""Time and memory of one synthetic radiograph: `python benchmarks/phantoms.py`."""

import resource
import time

import cv2

from radenhance.phantoms.animals import EXAMINATIONS
from radenhance.phantoms.radiograph import Animal, phantom

REPEATS = 3
GREAT_DANE = 37  # number of a dog that fills the largest field


def seconds(animal: Animal, spacing_mm: float) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        phantom(animal, spacing_mm=spacing_mm)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    cv2.setNumThreads(1)
    print("One core, best of three.\n")
    print("| animal | view | pixel mm | pixels | s |\n|---|---|---|---|---|")
    dogs = [Animal("dog", GREAT_DANE, 1, i) for i in range(len(EXAMINATIONS["dog"]))]
    cases = [(a, 0.3) for a in (*dogs, Animal("cat", 1, 1, 0), Animal("turtle", 1, 1, 0))]
    for animal, spacing_mm in [*cases, (dogs[0], 0.1), (dogs[1], 0.1)]:
        taken, view = seconds(animal, spacing_mm), animal.view
        rows, columns = (round(side / spacing_mm) for side in animal.field_mm)
        name = f"{animal.species} ({animal.physique.breed})"
        part = f"{view.body_part} {view.view}"
        print(f"| {name} | {part} | {spacing_mm} | {rows} x {columns} | {taken:.2f} |")
    print(f"\nPeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB.")


if __name__ == "__main__":
    main()
