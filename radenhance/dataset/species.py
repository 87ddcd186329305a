"""The species that a header names, in whatever language.

(0010,2201) Patient Species Description is free text, and clinics write there what they call the
animal: "Canine", "Hauskatze", "собака", or the breed. One species must have one name, because a
split is stratified by species.
"""

import re
import unicodedata
from collections.abc import Collection

# SNOMED CT of (0010,2202): PS3.16 CID 7454 Animal Taxonomic Rank Values.
_SNOMED = {"448169003": "cat", "448771007": "dog"}

# English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Czech, Russian, Swedish,
# Danish, Finnish, Hungarian, Turkish, Chinese, Japanese; the Latin genus or order; common breeds.
_NAMES = {
    "cat": """cat cats kitten feline felid felis dsh dlh katze kater katz chat chatte chaton felin
        gato gata felino gatto gatta kat poes kot kotka kocka kocour кошка кот котенок katt kissa
        macska kedi 猫 ネコ siamese persian siam perser ragdoll birman sphynx bengal burmese""",
    "dog": """dog dogs puppy canine canid canis hund hundin rude chien chienne chiot canin perro
        perra canino cane cagna cao cachorro cadela hond teef pies suka pes fena собака пес щенок
        koira kutya kopek 犬 狗 イヌ labrador retriever poodle beagle chihuahua terrier dachshund
        spaniel rottweiler husky collie pug boxer mops dackel pudel teckel malinois лайка овчарка
        такса""",
    "turtle": """turtle turtles tortoise tortoises terrapin chelonian chelonia chelonii testudo
        testudines testudinata tortue tortuga tartaruga testuggine cagado jabuti schildpad zolw
        zelva черепаха skoldpadda skildpadde kilpikonna teknos kaplumbaga 龟 乌龟 カメ""",
    "rabbit": """rabbit rabbits lagomorph oryctolagus kaninchen lapin conejo coniglio coelho konijn
        krolik kralik кролик kanin kani nyul tavsan 兔 ウサギ""",
    "guinea pig": "meerschweinchen cavia cobaye cobaya porquinho",
    "ferret": "ferret ferrets mustela frettchen furet huron furetto furao fret fretka хорек",
    "hamster": "hamster hamsters cricetus criceto хомяк",
    "rat": "rat rats rattus ratte ratto rata крыса",
    "bird": """bird birds avian aves vogel oiseau ave pajaro uccello ptak ptak птица parrot papagei
        perroquet loro budgerigar cockatiel pigeon chicken""",
    "snake": "snake snakes serpentes python schlange serpent serpiente serpente waz змея",
    "lizard": """lizard lizards iguana gecko echse eidechse lezard lagarto lucertola bartagame
        pogona chameleon ящерица""",
    "horse": "horse equine equus pferd pony cheval caballo cavallo cavalo paard kon лошадь hast",
    "cattle": "cattle cow bovine bos rind kuh vache vaca mucca koe krowa корова",
    "sheep": "sheep ovine ovis schaf mouton oveja pecora ovelha schaap owca овца",
    "goat": "goat caprine capra ziege chevre cabra capra geit koza коза",
    "pig": "pig porcine sus schwein cochon porc cerdo maiale porco varken swinia свинья",
}
_PHRASES = {
    "guinea pig": "guinea pig",
    "guineapig": "guinea pig",
    "cochon d'inde": "guinea pig",
    "conejillo de indias": "guinea pig",
    "german shepherd": "dog",
    "great dane": "dog",
    "bulldog": "dog",
    "bearded dragon": "lizard",
    "maine coon": "cat",
    "shorthair": "cat",
    "kurzhaar": "cat",
}
# German and its neighbours write compounds as one word: Landschildkrote, Schaferhund.
_ENDINGS = {"schildkrote": "turtle", "schildpad": "turtle", "hund": "dog", "katze": "cat"}

SPECIES = frozenset(_NAMES)
"""The names that `species_of` knows; other text is kept as it is."""


def species_of(description: str, *, codes: Collection[str] = ()) -> str:
    """Return the species that a description or a SNOMED CT code names, such as cat, dog or turtle.

    Args:
        description: Free text; a common breed is understood too.
        codes: Code values of (0010,2202) Patient Species Code Sequence; they take precedence.

    Returns:
        One of SPECIES; the text in lower case where it names none of them, or several.
    """
    coded = {_SNOMED[code] for code in codes if code in _SNOMED}
    found = coded or _named(plain(description))
    return found.pop() if len(found) == 1 else " ".join(description.lower().split())


def plain(text: str) -> str:
    """Return the text without accents, in lower case: "Schäferhund" becomes "schaferhund"."""
    apart = unicodedata.normalize("NFKD", text.casefold().replace("ł", "l").replace("ø", "o"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


_BY_WORD = {plain(word): species for species, words in _NAMES.items() for word in words.split()}


def _named(text: str) -> set[str]:
    found = set()
    for phrase, species in _PHRASES.items():
        if phrase in text:
            found.add(species)
            text = text.replace(phrase, " ")
    for word in re.findall(r"\w+", text):
        if word in _BY_WORD:
            found.add(_BY_WORD[word])
        found |= {species for ending, species in _ENDINGS.items() if word.endswith(ending)}
    return found
