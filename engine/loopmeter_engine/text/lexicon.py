"""The words for genres and moods, as producers, players and game developers write them. Data alone, torch-free.

``GENRE_WORDS`` name a genre outright. ``GENRE_HINTS`` suggest one and yield to any name. ``GENRE_SCENES`` are
whole descriptions: the encoder's read-out learns from them, the explicit reading ignores them. Spelling is free:
matching ignores case, accents, hyphens and the ampersand. Every ``HELD_OUT_EVERY``-th wording stays out of the
training captions, so that a test can ask with words that the renderer never saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

HELD_OUT_EVERY = 5
T = TypeVar("T")


def held_out(wordings: Sequence[T]) -> tuple[T, ...]:
    """The wordings kept for tests: the fifth, the tenth and so on."""
    return tuple(wordings[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY])


def training(wordings: Sequence[T]) -> tuple[T, ...]:
    """The wordings that training captions may use: all the others."""
    return tuple(w for i, w in enumerate(wordings) if i % HELD_OUT_EVERY != HELD_OUT_EVERY - 1)


# fmt: off
GENRE_WORDS: dict[str, tuple[str, ...]] = {
    "lofi": (
        "lofi", "lo-fi", "lofi hip hop", "chillhop", "lo-fi beats", "chill hop", "lofi beats", "study beats",
        "jazzhop", "lofi house hop", "chill beats", "lofi chill", "bedroom beats", "low fidelity", "lo-fi hip-hop",
        "slow jam lofi",
    ),
    "boom_bap": (
        "boom bap", "boombap", "old school hip hop", "90s hip hop", "golden age hip hop", "hip hop", "hiphop",
        "classic rap", "east coast hip hop", "underground hip hop", "old-school rap", "90s rap", "golden era rap",
        "sample-based hip hop", "boom-bap rap", "jazz rap", "hip hop breaks", "turntablism",
    ),
    "trap": (
        "trap", "trap beat", "trap music", "atlanta trap", "southern rap", "trap hit", "emo trap", "cloud rap",
        "trap soul", "hard trap", "rage beat", "plugg", "modern hip hop", "dirty south", "melodic trap", "crunk",
        "trap instrumental", "trap type beat", "trap rap",
    ),
    "house": (
        "house", "deep house", "house music", "tech house", "chicago house", "piano house", "lo-fi house",
        "soulful house", "garage house", "progressive house", "club house", "jackin house", "electro house",
        "organic house", "acid house", "tropical house", "bass house", "afro house", "funky house", "edm",
        "dance music", "big room",
    ),
    "techno": (
        "techno", "minimal techno", "detroit techno", "acid techno", "berlin techno", "hard techno",
        "industrial techno", "peak time techno", "dub techno", "melodic techno", "warehouse techno", "rave techno",
        "mnml", "ebm", "hardcore rave", "gabber", "schranz", "hardstyle", "industrial",
    ),
    "trance": (
        "trance", "uplifting trance", "psytrance", "goa trance", "progressive trance", "vocal trance", "psy trance",
        "tech trance", "euphoric trance", "classic trance", "goa", "eurodance", "hard trance", "festival trance",
    ),
    "drum_and_bass": (
        "drum and bass", "dnb", "d&b", "drum n bass roller", "drum n bass", "jungle", "liquid dnb", "neurofunk",
        "jump up", "liquid funk", "drumfunk", "ragga jungle", "d'n'b", "breakcore", "atmospheric jungle",
        "dnb roller", "techstep", "breakbeat", "drum 'n' bass", "liquid drum and bass",
    ),
    "uk_garage": (
        "uk garage", "ukg", "2-step", "2 step ukg", "2 step garage", "speed garage", "future garage", "garage beat",
        "bassline house", "uk funky", "four by four garage", "london garage", "nu garage", "two-step garage",
        "2step", "garage",
    ),
    "dubstep": (
        "dubstep", "brostep", "riddim dubstep", "deep dubstep", "uk dubstep", "halfstep", "melodic dubstep",
        "tearout", "bass music", "140 bass", "dub step", "future bass", "heavy dubstep", "post-dubstep",
    ),
    "synthwave": (
        "synthwave", "retrowave", "outrun", "darksynth", "vaporwave", "80s synth", "eighties synth pop",
        "retro synth", "80s electro", "dreamwave", "new wave", "chillwave", "synth wave", "electropop",
        "80s synthwave", "retro wave",
    ),
    "ambient": (
        "ambient", "ambience", "drone", "soundscape", "ambient music", "dark ambient", "new age", "space music",
        "meditation music", "downtempo", "atmospheric music", "chillout", "chill out", "healing music",
        "deep listening", "sleep music", "spa music", "soundbath",
    ),
    "funk": (
        "funk", "p-funk", "funk groove", "g-funk", "electro funk", "70s funk", "jazz funk", "funk rock", "soul funk",
        "synth funk", "deep funk", "boogie funk", "go-go", "street funk", "motown", "soul funk groove",
        "blaxploitation",
    ),
    "disco": (
        "disco", "nudisco", "nu disco", "italo disco", "french house", "disco house", "70s disco", "cosmic disco",
        "boogie", "space disco", "french touch", "disco funk", "philly disco", "euro disco", "classic disco",
    ),
    "jazz": (
        "jazz", "swing jazz", "bebop", "cool jazz", "soul jazz", "jazz trio", "smooth jazz", "jazz ballad",
        "lounge jazz", "hard bop", "latin jazz", "jazz standard", "modal jazz", "big band", "gypsy jazz", "ragtime",
        "swing music", "jazz waltz",
    ),
    "rock": (
        "rock", "hard rock", "indie rock", "punk", "alternative rock", "punk rock", "classic rock", "arena rock",
        "grunge", "garage band", "post-rock", "rock and roll", "stadium rock", "southern rock", "pop punk",
        "blues rock", "shoegaze", "rock 'n' roll", "surf rock", "country rock",
    ),
    "reggae": (
        "reggae", "roots reggae", "dub reggae", "dub", "rocksteady", "ska", "dancehall", "lovers rock", "reggae dub",
        "one drop", "steppers dub", "dub plate", "riddim reggae", "roots and culture", "digital reggae", "reggae roots",
        "jamaican dub",
    ),
    "afrobeat": (
        "afrobeat", "afrobeats", "afro beat", "afro rhythm", "afropop", "highlife", "afro fusion", "afroswing", "naija",
        "afro funk", "gqom", "afro groove", "kuduro", "soukous", "afro dancehall", "alte", "afro-soul", "kwaito",
    ),
    "chiptune": (
        "chiptune", "8-bit", "chip tune", "8 bit music", "chip music", "16-bit", "nes music", "gameboy music",
        "bitpop", "retro game music", "video game chiptune", "nintendocore", "8-bit game loop", "8bit",
        "arcade music", "16bit", "game boy", "nes",
    ),
    "cinematic": (
        "cinematic", "film score", "orchestral", "trailer music", "epic orchestral", "orchestral theme",
        "movie score", "orchestral score", "hybrid orchestral", "symphonic", "film music", "classical",
        "battle music", "fantasy score", "cinematic trailer", "neoclassical", "score music", "orchestra",
        "orchestral suite", "movie soundtrack",
    ),
    "pop": (
        "pop", "dance pop", "synth pop", "pop music", "indie pop", "radio pop", "k-pop", "pop song", "bubblegum pop",
        "modern pop", "pop ballad", "electro pop", "commercial pop", "teen pop", "r&b", "hyperpop", "j-pop",
        "synthpop", "chart pop", "kpop",
    ),
    "drill": (
        "drill", "uk drill", "drill beat", "ny drill", "chicago drill", "drill music", "drill type beat",
        "brooklyn drill", "melodic drill", "drill rap", "drill instrumental", "jersey drill", "sample drill",
    ),
    "phonk": (
        "phonk", "drift phonk", "phonk beat", "memphis rap", "memphis phonk", "phonk drift", "house phonk",
        "brazilian phonk", "aggressive phonk", "cowbell phonk", "dark phonk", "phonk house", "memphis trap",
    ),
    "amapiano": (
        "amapiano", "piano amapiano", "amapiano groove", "yanos", "soulful amapiano", "amapiano beat", "amapiano loop",
        "south african house", "bacardi house", "amapiano log drum", "sgija", "deep amapiano", "amapiano type beat",
    ),
    "bossa_nova": (
        "bossa nova", "bossa", "samba jazz", "brazilian jazz", "bossa nova guitar", "samba", "bossa groove",
        "brazilian bossa", "mpb", "bossa nova lounge", "samba cancao", "bossa rhythm", "latin lounge",
    ),
    "reggaeton": (
        "reggaeton", "dembow", "latin trap", "latin pop", "reggaeton beat", "perreo", "moombahton", "urbano",
        "reggaeton type beat", "old school reggaeton", "latin urban", "neo perreo", "reggaeton pop",
        "reggaeton romantico",
    ),
    "metal": (
        "metal", "heavy metal", "thrash metal", "death metal", "metalcore", "djent", "black metal", "power metal",
        "nu metal", "doom metal", "industrial metal", "prog metal", "speed metal", "groove metal", "deathcore",
    ),
}

# Words that suggest a genre but also describe others; they count only where no genre is named.
GENRE_HINTS: dict[str, tuple[str, ...]] = {
    "lofi": (
        "dusty", "tape worn", "sleepy beat", "chill", "tape wobble", "coffee shop", "vinyl crackle", "studying",
        "vhs", "cozy", "homework", "cassette",
    ),
    "boom_bap": (
        "mpc", "rap", "sp-1200", "sp1200", "freestyle", "crate digging", "scratching", "head nod", "east coast",
        "emcee", "cypher", "golden age", "chopped sample", "brooklyn", "turntable",
    ),
    "trap": (
        "hat rolls", "808s", "triplet hats", "rolling hats", "sliding 808", "trap hats", "southern", "type beat",
        "rap", "rap beat", "snare rolls", "hi-hat rolls", "gliding 808s", "atlanta", "trappy", "booming 808",
    ),
    "house": (
        "four on the floor", "four to the floor", "4 on the floor", "steady kick", "club groove", "clubby", "ibiza",
        "dancefloor", "housey", "pool party", "dj set", "nightclub", "danceable", "disco house chords",
    ),
    "techno": (
        "warehouse", "berghain", "303", "rumble kick", "pounding kick", "berlin", "mechanical", "acid", "rave",
        "machine funk", "relentless", "detroit", "909 kick", "acid line",
    ),
    "trance": (
        "euphoric", "hands in the air", "supersaw anthem", "rolling offbeat bass", "psychedelic", "trancey",
        "trance gate", "uplifting supersaws", "psy", "festival anthem",
    ),
    "drum_and_bass": (
        "amen", "amen break", "amen-style", "breakbeats", "chopped breaks", "broken beat", "reese", "rollers",
        "liquid", "breaks", "fast breaks", "frantic breaks", "junglist", "rolling reese",
    ),
    "uk_garage": (
        "shuffled", "two-step", "skippy", "skippy hats", "shuffly", "bumpy", "swung hats", "organ bass",
        "pirate radio", "swung garage", "burial style", "skipping drums",
    ),
    "dubstep": (
        "wobble", "wobble bass", "wub", "wubs", "wub wub", "growl bass", "half-time drop", "bass drop",
        "wobbly bass", "wobbling", "filthy", "growls",
    ),
    "synthwave": (
        "80s", "neon", "eighties", "1980s", "retro futuristic", "night drive", "miami", "gated snare", "cyberpunk",
        "vhs synth", "gated reverb", "analog arp", "delorean", "stranger things",
    ),
    "ambient": (
        "beatless", "floating", "drones", "meditation", "meditative", "evolving", "washes", "weightless", "ethereal",
        "atmospheric", "zen", "yoga", "sleep", "relaxation", "atmospheres", "soundscapes",
    ),
    "funk": (
        "funky", "soul", "slap bass", "wah guitar", "wah-wah", "clavinet", "on the one", "groovy", "clav",
        "james brown", "heist", "greasy", "scratch guitar",
    ),
    "disco": (
        "octave bass", "mirror ball", "disco ball", "studio 54", "nile rodgers", "roller skate", "discoid", "1978",
        "disco strings", "four on the floor strings", "glitter", "daft punk",
    ),
    "jazz": (
        "jazzy", "swinging", "walking bass", "brushed drums", "brushes", "ii-v-i", "noir", "double bass", "smoky",
        "upright bass", "speakeasy", "lounge", "film noir",
    ),
    "rock": (
        "power chords", "distorted guitar", "electric guitars", "overdriven guitar", "guitar riff", "crunchy guitar",
        "jamming", "live drums", "band", "riffs", "rocking", "bar band", "guitars",
    ),
    "reggae": (
        "skank", "riddim", "ragga", "jamaica", "offbeat chords", "kingston", "jamaican", "bubbling organ", "island",
        "sound system", "rasta", "spring reverb", "caribbean", "skanking guitar", "dubby",
    ),
    "afrobeat": (
        "djembe", "lagos", "nigerian", "west african", "talking drum", "african", "polyrhythm", "fela",
        "polyrhythmic", "ghana", "afro", "highlife guitar",
    ),
    "chiptune": (
        "pixel art", "bleeps", "pixel", "platformer", "bleepy", "blips", "c64", "sid chip", "arcade", "retro game",
        "pulse wave", "game console", "snes", "sega",
    ),
    "cinematic": (
        "trailer", "epic", "boss battle", "symphony", "movie", "film", "cutscene", "taikos", "braams", "soundtrack",
        "underscore", "medieval", "ostinato", "hans zimmer", "fantasy", "suspense", "castle", "stealth",
    ),
    "pop": (
        "catchy", "radio", "hook", "chart", "commercial", "sing along", "advert", "radio-friendly", "summer hit",
        "corporate", "jingle", "top 40",
    ),
    "drill": (
        "drill hats", "sliding drill bass", "tresillo hats", "drill snare", "gliding bass", "3-3-2 hats", "roadman",
        "uk rap", "london rap", "dark piano rap", "glide 808", "drill pattern",
    ),
    "phonk": (
        "cowbell", "cowbell melody", "cowbells", "tokyo drift", "drift car", "street racing", "distorted 808",
        "memphis vocals", "car meet", "chopped and screwed", "night racing", "jdm",
    ),
    "amapiano": (
        "log drum", "log drums", "south african", "johannesburg", "soweto", "pretoria", "log drum bass",
        "durban", "airy shakers", "jazzy log drum", "mzansi", "tavern groove",
    ),
    "bossa_nova": (
        "brazil", "brazilian", "ipanema", "rio de janeiro", "jobim", "copacabana", "nylon guitar jazz", "soft clave",
        "beach cafe", "rim click clave", "hotel lobby", "elevator",
    ),
    "reggaeton": (
        "puerto rico", "latin club", "perrear", "medellin", "spanish pop", "dembow rhythm", "latino", "latin dance",
        "boom-ch-boom-chick", "salsa club", "bad bunny", "daddy yankee",
    ),
    "metal": (
        "headbanging", "mosh", "double bass drum", "palm mute", "palm muted", "blast beat", "breakdown", "down-tuned",
        "drop d", "shredding", "chugging", "chugs", "djenty", "double kick", "growled vocals",
    ),
}

# Descriptions for the encoder: where the music is heard, what happens on screen, who made it.
GENRE_SCENES: dict[str, tuple[str, ...]] = {
    "lofi": (
        "a quiet evening at the desk with headphones and tea",
        "warm vinyl hiss over mellow electric piano and soft drums", "relaxing instrumental beat for concentration",
        "cozy room, cat on the sofa, snow outside", "sleepy swung drums with tape saturation",
        "life simulation game at night, gentle and nostalgic", "background beat for reading and working",
    ),
    "boom_bap": (
        "sampled drums with hard snare and loose swing", "nineties rap instrumental with a jazz loop",
        "beat for a rap battle on the street corner", "dusty horn sample and crunchy drums",
        "scratched vinyl and a chopped soul record", "basketball court and graffiti, street game",
        "head nodding rap beat with upright bass",
    ),
    "trap": (
        "fast hi-hat rolls over a booming sub bass", "dark rap instrumental with bells and half time snare",
        "sliding sub bass and sparse piano for a rapper", "hard street beat with booming low end",
        "gangster crime game music with sub bass", "menacing flute and rattling hats", "trippy auto-tune rap mood",
    ),
    "house": (
        "steady kick, offbeat hats and piano stabs for the dance floor", "club night with organ bass and claps",
        "sunset beach bar, dancing people", "fashion show runway groove", "warm chords and a pumping four beat kick",
        "feel good club track for the dj", "soulful chords over a jacking drum machine",
    ),
    "techno": (
        "dark repetitive kick drum in an industrial hall", "hypnotic machine rhythm with no melody",
        "squelchy acid bassline and hard drum machine", "cold robotic factory, endless conveyor belts",
        "five in the morning in a basement club", "distorted kick and metallic percussion",
        "stark hypnotic loop of machines",
    ),
    "trance": (
        "soaring supersaw melody with a big build-up", "euphoric festival moment with lasers and hands up",
        "fast arpeggios and emotional chords at 138", "psychedelic forest party with galloping bass",
        "nineties rave anthem with plucked melody", "uplifting lead over rolling bass",
        "twisting acid sequences, hypnotic and psychedelic",
    ),
    "drum_and_bass": (
        "very fast broken drums with deep rolling bass", "chopped funk break sped up to 170",
        "adrenaline racing game with frantic drums", "growling bass and tight fast snare",
        "airy pads above rapid breakbeats", "nineties rave with ragga samples and breaks",
        "fast rolling breaks and a sub bass at 174",
    ),
    "uk_garage": (
        "swinging drums with skipping kick and chopped vocals", "shuffled club beat from south london",
        "night bus in the rain, crackling swung beat", "bouncy organ bassline with syncopated drums",
        "champagne club with swung hats at 132", "off-grid shuffled drums and warm sub",
        "skippy shuffling rhythm with rim shots and bumping bass",
    ),
    "dubstep": (
        "huge wobbling bass and a slow heavy snare", "aggressive growling synths after the drop",
        "robot fight with screaming bass", "sparse halftime beat with deep sub in the dark",
        "bass that shakes the speakers, heavy drop", "monster truck arena with dirty bass",
    ),
    "synthwave": (
        "driving through a neon city at night in the eighties", "analog synth arpeggio with big gated snare",
        "retro science fiction film with pulsing synth bass", "sunset grid and palm trees, vintage synths",
        "cyber city chase with retro synths", "nostalgic eighties movie with analog pads",
        "arcade cabinet glow and vintage drum machine",
    ),
    "ambient": (
        "slow evolving pads without any beat", "drifting through space, endless reverb",
        "quiet background for sleep and meditation", "underwater world, calm and deep",
        "misty mountains at dawn, very slow and sparse", "soft textures that float",
        "peaceful menu screen atmosphere", "glacial drones and shimmering tones",
    ),
    "funk": (
        "tight syncopated bass with rhythm guitar and horns", "slapping bass and clavinet groove",
        "seventies police chase with wah guitar", "everybody dance, sixteenth note guitar chops",
        "heist crew walking in slow motion with a cool bassline", "deep pocket drums and punchy brass",
    ),
    "disco": (
        "string section over a four beat kick and octave bass", "glitter ball, roller skates and flared trousers",
        "sequenced arpeggio bass with open hats from the seventies", "dancing queen at the nightclub in 1977",
        "rhythm guitar chops with lush strings for dancing", "filtered loop of an old dance record",
    ),
    "jazz": (
        "piano trio in a smoky club playing standards", "double bass walking with ride cymbal swing",
        "detective in the rain, lonely trumpet mood", "lounge piano in a hotel bar with brushes",
        "improvised solos over extended chords", "elegant cocktail evening", "late night saxophone ballad",
    ),
    "rock": (
        "loud electric guitars and live drum kit", "overdriven riffs with a pounding band",
        "skateboarding game with fast guitars", "stadium crowd and big chords", "angry guitar music with distortion",
        "demolition race with heavy riffing", "jangly guitars of an indie band",
    ),
    "reggae": (
        "offbeat guitar chops and heavy round bass", "relaxed beach in jamaica with organ bubbles",
        "echo and delay on the snare, deep bassline", "sunny tropical island village",
        "slow easy rhythm with rim shot and smoke", "sound system speakers in the yard",
    ),
    "afrobeat": (
        "layered african percussion with guitars and horns", "djembe circle with call and response horns",
        "sunny west african pop with syncopated drums", "dancing in lagos with talking drums",
        "polyrhythmic groove with shaker and congas", "market day in accra, bright guitars",
    ),
    "chiptune": (
        "square wave melody of an old handheld console", "retro platform game level with fast arpeggios",
        "bleeping sounds of a home computer", "pixel hero collects coins", "simple pulse waves and noise drums",
        "boss fight in an old cartridge game",
    ),
    "cinematic": (
        "full orchestra with big percussion for a film trailer", "tense low strings for a thriller",
        "heroic theme of a fantasy kingdom with choir", "emotional strings and piano for the final scene",
        "sneaking past guards, suspenseful underscore", "final battle with choir and war drums",
        "knights, dragons and castles", "creaking doors in an abandoned mansion full of ghosts",
        "a horror game where something watches you", "grand journey through vast landscapes",
    ),
    "pop": (
        "catchy melody with bright synths and claps", "happy song for an advertisement with ukulele",
        "radio song with four chords and big chorus", "glossy hit with plucks and punchy drums",
        "summer holiday video, cheerful and polished", "teenage dance show",
    ),
    "drill": (
        "sliding bass and hats in threes under a dark piano", "grey tower blocks and hooded rappers",
        "late snare, skipping hats and a choir sample", "cold street rap with gliding low notes",
        "tense rap instrumental with a haunted string loop",
    ),
    "phonk": (
        "distorted cowbell melody over a crushed kick", "cars drifting through the night city",
        "clipped bass and a cowbell riff for a gym edit", "street race with screeching tyres and cowbells",
        "lofi tape of memphis rappers with heavy bass",
    ),
    "amapiano": (
        "log drum bass with shakers, south african party", "jazzy keys over a deep log drum and airy shakers",
        "slow groove of a township party on sunday", "soulful chords, whistles and log drum runs",
        "outdoor club in johannesburg at dusk",
    ),
    "bossa_nova": (
        "brazilian guitar and soft swing", "nylon guitar, soft rim clicks and a whispering flute",
        "a beach bar in rio at sunset", "gentle latin jazz for a hotel lift", "lazy afternoon with guitar and clave",
    ),
    "reggaeton": (
        "dembow drums with plucked synths for a latin club", "summer hit with a boom chicka boom beat in spanish",
        "hips moving on a dance floor in san juan", "perreo under neon lights",
        "latin love song with plucked guitar and 808s",
    ),
    "metal": (
        "double bass drums and chugging down-tuned guitars", "a wall of distorted guitars and screams",
        "headbanging crowd in front of the stage", "demon boss fight with palm-muted riffs",
        "fast thrashing riffs with a brutal breakdown",
    ),
}

MOOD_WORDS: dict[str, tuple[str, ...]] = {
    "dark": (
        "dark", "ominous", "sinister", "brooding", "gloomy", "menacing", "creepy", "eerie", "spooky", "haunting",
        "evil", "horror", "moody", "murky", "shadowy", "foreboding", "scary", "tense", "noir", "gothic",
        "mysterious",
    ),
    "happy": (
        "happy", "joyful", "cheerful", "feel-good", "sunny", "upbeat", "playful", "fun", "bouncy", "merry", "jolly",
        "carefree", "bright and happy", "light-hearted", "positive", "optimistic", "quirky", "cute", "festive",
    ),
    "sad": (
        "sad", "melancholic", "melancholy", "sorrowful", "mournful", "heartbroken", "bittersweet", "lonely",
        "wistful", "tearful", "blue", "depressing", "gloomy and sad", "emotional", "grieving", "somber", "longing",
        "heartbreak",
    ),
    "calm": (
        "calm", "relaxed", "peaceful", "chill", "soothing", "laid-back", "mellow", "gentle", "tranquil", "quiet",
        "serene", "easy-going", "relaxing", "meditative", "sleepy", "restful", "at ease", "lazy", "slow",
    ),
    "aggressive": (
        "aggressive", "angry", "hard-hitting", "brutal", "heavy", "fierce", "violent", "savage", "furious", "raw",
        "intense", "punishing", "harsh", "ruthless", "in your face", "hostile", "vicious", "banging",
    ),
    "dreamy": (
        "dreamy", "ethereal", "floating", "hazy", "otherworldly", "spacey", "hypnotic", "celestial", "surreal",
        "magical", "nostalgic", "cosmic", "blissful", "trippy", "enchanted", "woozy", "psychedelic", "wonder",
    ),
    "energetic": (
        "energetic", "driving", "high-energy", "fast-paced", "lively", "pumping", "exciting", "frantic", "uptempo",
        "powerful", "dynamic", "adrenaline", "hyped", "explosive", "up-tempo", "racing", "fast", "relentless",
        "party", "hype",
    ),
    "warm": (
        "warm", "cozy", "soulful", "tender", "intimate", "cosy", "romantic", "smooth", "heartfelt", "velvety",
        "comforting", "sensual", "loving", "mellow and warm", "homely", "silky", "sentimental", "lush",
    ),
    "epic": (
        "epic", "heroic", "triumphant", "grand", "majestic", "uplifting", "anthemic", "victorious", "monumental",
        "larger than life", "huge", "massive", "glorious", "soaring", "euphoric", "inspiring", "adventurous",
        "bombastic",
    ),
}

# Descriptions of moods for the encoder, as ``GENRE_SCENES``.
MOOD_SCENES: dict[str, tuple[str, ...]] = {
    "dark": (
        "walking alone through a haunted house", "the villain enters the room", "something is lurking in the fog",
        "midnight in the cemetery", "a threatening cave level",
    ),
    "happy": (
        "children playing in the park", "smiling faces on a sunny morning", "a cheerful village shop",
        "collecting coins and laughing", "birthday surprise",
    ),
    "sad": (
        "saying goodbye for the last time", "rain on the window after a breakup", "remembering someone who died",
        "crying alone at night", "the hero has lost everything",
    ),
    "calm": (
        "a slow breath by the lake", "resting after a long day", "a safe place to save the game",
        "fishing on a still morning", "falling asleep",
    ),
    "aggressive": (
        "a brutal fight to the death", "smashing everything in rage", "the boss attacks with full force",
        "chainsaws and explosions", "mosh pit",
    ),
    "dreamy": (
        "floating among the clouds", "half asleep in a strange world", "a magic forest with glowing lights",
        "fading childhood memories", "drifting through the stars",
    ),
    "energetic": (
        "running as fast as possible", "the last lap of the race", "a workout at the gym",
        "jumping crowd at the party", "time is running out, hurry",
    ),
    "warm": (
        "sitting by the fireplace with friends", "a tender embrace", "candlelight dinner for two",
        "golden evening light at home", "a love song",
    ),
    "epic": (
        "the army marches to the final battle", "standing on top of the mountain in victory",
        "the hero returns in triumph", "a vast kingdom revealed", "saving the world",
    ),
}

# Texts that name neither genre nor mood, so that the encoder's read-out learns to leave them open.
NAMELESS_TEXTS: tuple[str, ...] = (
    "music", "a loop", "give me a loop", "make me something", "something for my game", "music for my game",
    "surprise me", "anything you like", "background music for a video", "a nice loop please", "hello world", "test",
    "an old house in the woods", "haunted house", "a short piece", "something cool", "generate audio",
    "a new idea for my project", "the quick brown fox", "asdf", "tax return", "instrumental music", "a good melody",
    "make a beat", "my cat is hungry", "what time is it",
)
