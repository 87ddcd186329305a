import pytest

from radenhance.dataset.species import SPECIES, plain, species_of


@pytest.mark.parametrize(
    ("description", "species"),
    [
        ("Feline", "cat"),
        ("FELIS CATUS", "cat"),
        ("Europäische Kurzhaarkatze", "cat"),
        ("DSH", "cat"),
        ("кошка", "cat"),
        ("gatto europeo", "cat"),
        ("Kočka", "cat"),
        ("Canis lupus familiaris", "dog"),
        ("Canine (Labrador Retriever)", "dog"),
        ("Hund", "dog"),
        ("Schäferhund", "dog"),
        ("perro", "dog"),
        ("cão", "dog"),
        ("Köpek", "dog"),
        ("лайка", "dog"),
        ("собака", "dog"),
        ("Griechische Landschildkröte", "turtle"),
        ("Testudo hermanni", "turtle"),
        ("żółw", "turtle"),
        ("tortue d'Hermann", "turtle"),
        ("черепаха", "turtle"),
        ("Guinea pig", "guinea pig"),
        ("Cochon d'Inde", "guinea pig"),
        ("pig", "pig"),
        ("Kaninchen", "rabbit"),
        ("Ave", "bird"),
    ],
)
def test_free_text_of_many_languages_names_one_species(description, species):
    assert species_of(description) == species
    assert species in SPECIES


@pytest.mark.parametrize(
    ("description", "kept"),
    [("Okapi  johnstoni", "okapi johnstoni"), ("dog or cat", "dog or cat"), ("", "")],
)
def test_text_that_names_none_or_several_is_kept(description, kept):
    assert species_of(description) == kept


def test_a_code_goes_above_the_text():
    assert species_of("Mautz", codes=["448169003"]) == "cat"
    assert species_of("dog", codes=["448169003"]) == "cat"
    assert species_of("dog", codes=["387961004"]) == "dog"  # a kingdom, not a species


def test_part_of_a_word_is_not_a_species():
    assert species_of("Caterpillar") == "caterpillar"
    assert species_of("Ratel") == "ratel"


def test_plain_text_has_no_accents_and_no_capitals():
    assert plain("Żółw Schäferhund") == "zolw schaferhund"
    assert plain("Лайка") == "лаика"
