import pickle
from collections import Counter, defaultdict

from radenhance.phantoms.animals import (
    BREEDS,
    EXAMINATIONS,
    Animal,
    draw_animal,
    plan_animals,
)


def by_patient(plan):
    found = defaultdict(list)
    for animal in plan:
        found[animal.patient_id].append(animal)
    return found


def test_plan_has_the_asked_number_of_radiographs_of_each_species():
    assert Counter(a.species for a in plan_animals()) == {"cat": 24, "dog": 34, "turtle": 2}
    few = plan_animals(1, 0, 3, seed=5)
    assert Counter(a.species for a in few) == {"cat": 1, "turtle": 3}
    assert plan_animals(0, 0, 0) == []


def test_equal_seeds_plan_equal_animals_and_others_do_not():
    assert plan_animals(seed=3) == plan_animals(seed=3)
    first, second = plan_animals(seed=3), plan_animals(seed=4)
    assert not {a.patient_id for a in first} & {a.patient_id for a in second}
    assert not {a.seed for a in first} & {a.seed for a in second}


def test_about_a_fifth_of_cats_and_dogs_has_two_views():
    patients = by_patient(plan_animals(500, 500, 0))
    share = sum(len(radiographs) == 2 for radiographs in patients.values()) / len(patients)
    assert 0.15 < share < 0.25
    assert max(map(len, patients.values())) == 2


def test_two_radiographs_of_one_animal_show_one_part_of_one_body_from_two_sides():
    pairs = [p for p in by_patient(plan_animals(60, 60, 0)).values() if len(p) == 2]
    assert pairs
    for first, second in pairs:
        assert first.physique == second.physique
        assert first.view.body_part == second.view.body_part
        assert first.view.view != second.view.view
        assert first.seed != second.seed


def test_turtles_of_a_plan_are_different_patients():
    assert len(by_patient(plan_animals(0, 0, 5))) == 5


def test_every_examination_is_planned():
    planned = Counter((a.species, a.examination) for a in plan_animals(300, 300, 3))
    assert len(planned) == sum(len(options) for options in EXAMINATIONS.values())


def test_planned_animals_travel_to_other_processes():
    plan = plan_animals(3, 3, 1)
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_breeds_differ_in_size_and_fields_grow_with_them():
    fields = {
        Animal("dog", n, 0, 0).physique.breed: Animal("dog", n, 0, 0).field_mm for n in range(80)
    }
    assert fields.keys() == BREEDS["dog"].keys()
    assert max(fields["Yorkshire Terrier"]) <= 300
    assert fields["Great Dane"] == (418.8, 418.8)
    assert round(418.8 / 0.1) == 4188


def test_a_species_and_a_seed_name_one_animal():
    assert draw_animal("dog", seed=2) == draw_animal("dog", seed=2)
    assert draw_animal("dog", seed=2) != draw_animal("dog", seed=3)
    assert len({draw_animal("cat", seed=s).examination for s in range(40)}) > 4
