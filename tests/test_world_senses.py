"""Films, sounds, spoken words, point clouds and sensors: shapes, ranges, and the truth, recovered."""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mmcourse import world
from mmcourse.world.audio import LOUD, RATE, SAMPLES, STEP, hear, pitch, sound
from mmcourse.world.film_questions import FILM_KINDS, film_answer, film_questions
from mmcourse.world.points import cloud, inside
from mmcourse.world.scene import GRID, UNKNOWN, Object, Scene
from mmcourse.world.sensor import ACTIVITIES, GRAVITY, activities, feel, trace, trace_questions
from mmcourse.world.speech import VOICES, from_mu_law, mu_law, recordings, speak
from mmcourse.world.video import Event, Film, film, watch, way

BALL = Object("circle", "red", "small", x=0.5, y=0.5)


def track(places, **changes):
    """A small red circle at these (x, y), in grid steps; None where it is not there."""
    return [place and replace(BALL, x=place[0] / GRID, y=place[1] / GRID, **changes) for place in places]


def moving(*xs):
    return track([x and (x, 64) for x in xs])


# ---- films

def test_a_film_is_a_pure_function_of_scene_and_seed_and_begins_with_the_scene():
    scene = world.sample(3)
    one = film(scene, 12, seed=5)
    assert one == film(world.sample(3), 12, seed=5) and one != film(scene, 12, seed=6)
    assert len(one) == 12 == len(one.scenes()) and len(one.tracks) == len(scene)
    there_from_the_start = [thing for thing in one.scenes()[0]]
    assert set(there_from_the_start) <= set(scene)
    frames = one.frames(32)
    assert frames.shape == (12, 32, 32, 3) and frames.dtype == np.uint8
    assert (frames[4] == world.draw([one.scenes()[4]], 32)[0]).all()


def test_events_are_found_where_they_happen():
    assert Film([moving(20, 15, 12, 15, 18)]).events == (Event(2, "bounce", 0),)
    assert Film([moving(20, 15, 12, 12, 18)]).events == (), "a stop between the two is no bounce"
    assert Film([moving(None, 20, 23), moving(99, 99, 99)]).events == (Event(1, "appear", 1),)
    assert Film([moving(20, 23, None), moving(99, 99, 99)]).events == (Event(2, "leave", 0),)
    changed = moving(20, 20)[:1] + track([(20, 64)], color="blue")
    assert Film([changed]).events == (Event(1, "recolor", 0),)
    assert way(moving(20, 20, 17)) == "left" and way(moving(20, 20)) is None
    assert way(track([(9, 9), (9, 12)])) == "down" and way(track([(9, 9), None, (9, 2)])) == "up"


def test_objects_of_a_film_stay_on_the_canvas_and_apart_and_keep_their_speed():
    seen = Counter()
    for seed in range(60):
        one = film(world.sample(seed), 16, seed)
        seen.update(event.kind for event in one.events)
        for scene in one.scenes():
            boxes = scene.boxes(GRID)
            assert len(scene) and (boxes >= 2).all() and (boxes <= GRID - 2).all()
            for i, a in enumerate(boxes):
                for b in boxes[:i]:
                    assert max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3]) >= 6
        for index, path in enumerate(one.tracks):
            path = [thing for thing in path if thing]
            steps = [abs(b.x - a.x) + abs(b.y - a.y) for a, b in zip(path, path[1:])]
            bounces = sum(event.object == index and event.kind == "bounce" for event in one.events)
            slower = sum(step != max(steps) for step in steps)  # only where it reaches a wall
            assert not steps or slower <= bounces + 1
    assert min(seen[kind] for kind in ("bounce", "appear", "leave", "recolor")) > 10


def test_watching_the_pictures_gives_the_film_back():
    for seed in range(15):
        one = film(world.sample(seed, ("standard", "rich", "gray")[seed % 3]), 16, seed)
        again = watch(one.frames(64))
        assert again == one and again.events == one.events


def test_answers_hold_for_the_film_that_is_read_back_from_its_pictures():
    for seed in range(8):
        one = film(world.sample(seed), 16, seed)
        again = watch(one.frames(64))
        for question in film_questions(one, 8, seed):
            assert film_answer(again, question.program) == question.answer


def test_film_answers_by_hand():
    star = replace(BALL, shape="star", x=0.8, y=0.8)
    other = [star] * 4 + [replace(star, color="blue")]
    one = Film([moving(20, 15, 12, 15, 18), other, [None] * 3 + [replace(BALL, shape="square", y=0.2)] * 2])
    answers = {
        ("way", ("circle",)): "left",
        ("times", "bounce", ("circle",)): "1", ("times", "bounce", ("star",)): "0",
        ("happens", "appear", ("square",)): "yes", ("happens", "appear", ("circle",)): "no",
        ("order", ("bounce", ("circle",)), ("appear", ("square",))): "yes",
        ("order", ("recolor", ("star",)), ("appear", ("square",))): "no",
        ("first", "bounce", "shape"): "circle", ("before", ("star",)): "red",
        ("at", 4, ("query", "color", ("unique", ("filter", ("star",), ("scene",))))): "blue",
    }
    for program, answer in answers.items():
        assert film_answer(one, program) == answer, program
    for program in (("way", ("star",)), ("before", ("circle",)), ("first", "leave", "shape"), ("nonsense",),
                    ("order", ("leave", ("star",)), ("bounce", ("circle",)))):
        with pytest.raises(ValueError, match="cannot be asked"):
            film_answer(one, program)
    with pytest.raises(ValueError, match="fits 2 objects"):
        film_answer(one, ("way", ("red",)))
    with pytest.raises(ValueError, match="not a kind of event"):
        film_answer(one, ("times", "explode", ("star",)))


def test_film_questions_are_balanced_and_of_every_kind():
    answers, texts = {}, set()
    for seed in range(1200):
        try:
            asked = film_questions(film(world.sample(seed + 10_000), 16, seed), 6, seed, FILM_KINDS[:-1])
        except world.NothingToAsk:
            continue  # a lonely object that stands still
        for question in asked:
            key = question.kind + (question.program[2] if question.kind == "first" else "")
            answers.setdefault(key, Counter())[question.answer] += 1
            texts.add(question.text)
            assert question.text.endswith("?")
    answers.pop("firsttexture", None)
    assert {kind.removeprefix("first") for kind in answers} == {
        "way", "bounces", "happens", "order", "before", "shape", "color", "size"}
    for kind, counts in answers.items():
        share = 1 / len(counts)  # and two standard deviations, as if a film gave two independent questions
        slack = 0.05 + 2 * (share * (1 - share) / (counts.total() / 2)) ** 0.5
        assert counts.most_common(1)[0][1] / counts.total() < share + slack, (kind, counts)
    assert len(texts) > 300


def test_a_name_fits_one_object_from_the_first_frame_to_the_last():
    for seed in range(150):
        shown = film(world.sample(seed, "rich"), 16, seed)
        try:
            asked = film_questions(shown, 6, seed, FILM_KINDS[:-1])
        except world.NothingToAsk:
            continue
        for words in (part for question in asked for part in question.program if isinstance(part, tuple)):
            words = set(words) & {*world.SHAPES, *world.COLORS, *world.SIZES, *world.TEXTURES}
            named = [any(words <= {t.size, t.color, t.texture, t.shape} for t in track if t) for track in shown.tracks]
            assert sum(named) == 1 or not words


def test_film_questions_bad_input():
    one = film(world.sample(0), 8)
    assert film_questions(one, 5, 1) == film_questions(one, 5, 1) != film_questions(one, 5, 2)
    with pytest.raises(ValueError, match="why"):
        film_questions(one, 1, kinds="why")
    with pytest.raises(world.NothingToAsk):
        film_questions(Film([moving(64, 64, 64)]), 1, kinds=("way", "order", "before", "bounces", "first"))


@pytest.mark.parametrize("call, message", [
    (lambda: film(Scene(())), "needs something to see"),
    (lambda: film(world.sample(0), 3), "4 to 512"),
    (lambda: film(world.sample(0), 7.5), "4 to 512"),
    (lambda: film(world.sample(0), True), "4 to 512"),
    (lambda: film(world.sample(0), 8, seed=-1), "not a seed"),
    (lambda: film(world.sample(0), 8, seed=1.0), "not a seed"),
    (lambda: Film([]), "made of tracks"),
    (lambda: Film([moving(20), moving(20, 23)]), "made of tracks"),
    (lambda: Film([[None, None]]), "made of tracks"),
    (lambda: film(world.sample(0)).frames(4), "8 to 1024"),
    (lambda: watch(np.zeros((2, 64, 64), np.uint8)), "oracle reads"),
    (lambda: watch(np.zeros((2, 64, 64, 3))), "oracle reads"),
    (lambda: watch([]), "No object is seen"),
    (lambda: watch(np.full((2, 64, 64, 3), 255, np.uint8)), "No object is seen"),
])
def test_films_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- sound

def test_a_sound_is_a_wave_that_says_where_high_and_how_loud():
    wave = sound(Scene((Object("circle", "red", "large", x=0.5, y=0.25),)))
    assert wave.shape == (SAMPLES,) and wave.dtype == np.float32
    heard = np.flatnonzero(abs(wave) > 1e-4)
    assert abs(heard[0] - 48 * STEP) < 80 and abs(heard[-1] - 80 * STEP) < 80
    spectrum = abs(np.fft.rfft(wave[50 * STEP:78 * STEP] * np.hanning(28 * STEP)))
    assert abs(spectrum.argmax() * RATE / (28 * STEP) - pitch(0.25)) < 2
    assert np.sqrt(np.mean(wave[50 * STEP:78 * STEP] ** 2)) == pytest.approx(LOUD["large"], rel=0.02)
    assert pitch(1.0) == 220 and pitch(0.0) == pytest.approx(821, abs=1)
    assert not sound(Scene(())).any() and hear(sound(Scene(()))) == Scene(())


def test_every_shape_color_size_and_texture_is_heard():
    for n, shape in enumerate(world.SHAPES):
        for m, color in enumerate(world.COLORS):
            size, texture = list(world.SIZES)[(n + m) % 2], world.TEXTURES[(n + 2 * m) % 3]
            scene = Scene((Object(shape, color, size, texture, 0.2 + 0.01 * (n + 8 * m), 0.9 - 0.1 * n),))
            assert hear(sound(scene)) == scene


def test_hearing_gives_the_scene_back():
    for seed in range(12):
        scene = world.sample(seed + 500, ("standard", "crowded", "rich")[seed % 3])
        wave = sound(scene)
        assert abs(wave).max() <= 1
        assert hear(wave) == scene
        noisy = wave + np.random.default_rng(seed).normal(0, 0.005, SAMPLES).astype(np.float32)
        assert hear(noisy.clip(-1, 1)) == scene


def test_a_crowd_is_not_clipped_and_an_object_at_the_edge_is_cut():
    crowd = Scene(tuple(Object("crown", "red", x=0.5, y=y / 10) for y in range(10)))
    assert abs(sound(crowd)).max() == pytest.approx(1)
    edge = sound(Scene((Object("circle", "red", x=0.0), Object("star", "blue", x=1.0, y=0.1))))
    assert abs(edge[:10 * STEP]).max() > 0.1 < abs(edge[-10 * STEP:]).max()
    assert not edge[20 * STEP:100 * STEP].any()


@pytest.mark.parametrize("wave", [np.zeros(100, np.float32), np.zeros(SAMPLES, int), np.full(SAMPLES, np.nan),
                                  np.full(SAMPLES, 2.0), np.zeros((SAMPLES, 1))])
def test_what_is_no_wave_is_refused(wave):
    with pytest.raises(ValueError, match="40960 floats"):
        hear(wave)


def test_what_is_no_sound_of_a_scene_is_refused():
    with pytest.raises(ValueError, match="not the sound of a scene"):
        hear(np.random.default_rng(0).uniform(-1, 1, SAMPLES))
    with pytest.raises(ValueError, match="has no sound"):
        sound(Scene((Object("circle", UNKNOWN),)))


# ---- speech

def test_everything_the_world_says_can_be_spoken():
    assert set(recordings()) == set(VOICES)
    said = [word for word in world.VOCABULARY if word.isalpha()]
    for seed in range(40):
        scene = world.sample(seed, "rich")
        one, doing = film(scene, 16, seed), activities(scene, seed)
        said += scene.captions(2, seed)
        for asked in (world.questions(scene, 4, seed, spec="rich"), film_questions(one, 8, seed),
                      trace_questions(scene, doing, 4, seed)):
            said += [text for question in asked for text in (question.text, question.answer)]
    for voice in VOICES:
        words = recordings()[voice]
        assert not {word for text in said for word in re.findall("[a-z]+", text)} - set(words)
    for n, text in enumerate(said[::60]):
        wave = speak(text, VOICES[n % 4], n)
        assert wave.dtype == np.float32 and wave.ndim == 1 and 0.2 < abs(wave).max() <= 1


def test_speech_is_a_function_of_sentence_voice_and_seed():
    one = speak("A red circle, left of 2 stars.", "bass", 3)
    assert (one == speak("a red circle , left of two stars .", "bass", 3)).all()
    assert len(one) != len(speak("a red circle, left of 2 stars.", "bass", 4))
    assert len(one) != len(speak("a red circle, left of 2 stars.", "alto", 3))
    spectrum = abs(np.fft.rfft(one)) ** 2
    assert spectrum[len(spectrum) // 2 + 100:].sum() < 1e-3 * spectrum.sum(), "nothing above 4 kHz"


def test_voices_differ_and_words_differ():
    words = recordings()["alto"]
    codes = {word: code.tobytes() for word, code in words.items()}
    assert len(set(codes.values())) > len(codes) - 3  # "two" and "to" sound alike
    assert all(codes["red"] != recordings()[voice]["red"].tobytes() for voice in ("bass", "tenor", "soprano"))
    for voice in VOICES:
        for code in recordings()[voice].values():
            level = np.sqrt(np.mean(from_mu_law(code) ** 2))
            assert 0.05 < level < 0.12 and 0.1 < len(code) / 8000 < 1


def test_mu_law_keeps_what_is_quiet():
    wave = np.concatenate([np.linspace(-1, 1, 1001), [0.001, -0.001]])
    again = from_mu_law(mu_law(wave))
    assert abs(again - wave).max() < 0.025 and abs(again[-2:] - wave[-2:]).max() < 1e-4 and again[500] == 0


@pytest.mark.parametrize("call, message", [
    (lambda: speak("a red zebra"), "no recording of 'zebra'"),
    (lambda: speak("a red cirle"), "did you mean 'circle'"),
    (lambda: speak("a red circle", "robot"), "robot"),
    (lambda: speak(""), "nothing to say"),
    (lambda: speak("?!"), "no recording of '!'"),
    (lambda: speak(" . "), "nothing to say"),
    (lambda: speak("red", seed=-2), "not a seed"),
])
def test_speech_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- points

def test_a_cloud_lies_on_the_surface_of_its_objects():
    for seed in range(10):
        scene = world.sample(seed, "rich")
        points, normals, colors, labels = cloud(scene, 2000, seed)
        assert points.shape == normals.shape == colors.shape == (2000, 3) and labels.shape == (2000,)
        assert points.dtype == normals.dtype == colors.dtype == np.float32
        assert np.linalg.norm(normals, axis=1) == pytest.approx(1, abs=1e-5)
        assert set(labels) == set(range(len(scene))) and 0 <= colors.min() and colors.max() <= 1
        for box, own in ((thing.box, labels == i) for i, thing in enumerate(scene)):
            low, high = (box[0], 1 - box[3], 0), (box[2], 1 - box[1], box[2] - box[0])
            z = points[own][:, 2]
            assert (points[own] >= np.array(low) - 1e-6).all()
            assert (points[own] <= np.array(high) + 1e-6).all()
            assert points[own].min(0) == pytest.approx(low, abs=0.05) and z.max() == pytest.approx(high[2])
            on_top = normals[own][:, 2] == 1
            assert z[on_top] == pytest.approx(high[2]) and not normals[own][~on_top][:, 2].any()


def test_normals_point_out_of_the_object():
    for shape in world.SHAPES:
        scene = Scene((Object(shape, "red"),))
        points, normals, _, _ = cloud(scene, 1500, 1)
        mask = scene.masks(512)[0]
        wall = normals[:, 2] == 0
        for sign, is_in in ((-1, True), (1, False)):
            x, y, _ = (points[wall] + sign * 0.006 * normals[wall]).T
            there = mask[((1 - y) * 512).astype(int), (x * 512).astype(int)]
            assert (there == is_in).mean() > 0.9, shape  # beside a corner there may be the other side


def test_points_are_uniform_on_the_surface():
    points, normals, _, labels = cloud(Scene((Object("square", "red", "large", x=0.25),
                                              Object("square", "blue", "small", x=0.75))), 40_000, 0)
    assert (labels == 0).mean() == pytest.approx(16 ** 2 / (16 ** 2 + 10 ** 2), abs=0.01)
    big = points[labels == 0]
    faces = Counter(map(tuple, normals[labels == 0].round(3)))
    assert len(faces) == 5
    assert [count / len(big) for count in faces.values()] == pytest.approx([0.2] * 5, abs=0.01)
    assert big[:, 2].mean() == pytest.approx(0.125 * 0.8 + 0.25 * 0.2, abs=0.002)
    top = big[big[:, 2] == np.float32(0.25)]
    assert top[:, :2].mean(0) == pytest.approx([0.25, 0.5], abs=0.003)


def test_the_view_from_above_is_the_picture():
    scene = world.sample(11, "rich")
    points, normals, colors, labels = cloud(scene, 3000, 2)
    top = normals[:, 2] == 1
    x, y = (points[top, 0] * 256).astype(int), ((1 - points[top, 1]) * 256).astype(int)
    seen = np.asarray(scene.image(256))[y, x] / 255
    assert (abs(seen - colors[top]).max(1) < 0.02).mean() > 0.9
    assert (np.stack([scene.masks(256)[i, b, a] for i, a, b in zip(labels[top], x, y)])).mean() > 0.95


def test_inside_agrees_with_geometry():
    places = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    diamond = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)], float)
    assert (inside(places, diamond) == (abs(places).sum(1) < 1)).all()
    notched = np.array([(-1, -1), (0, 0), (1, -1), (1, 1), (-1, 1)], float)
    assert (inside(places, notched) == (places[:, 1] > -abs(places[:, 0]))).all()


@pytest.mark.parametrize("call, message", [
    (lambda: cloud(Scene(())), "needs objects"),
    (lambda: cloud(Scene((Object(UNKNOWN, "red"),))), "needs objects"),
    (lambda: cloud(world.sample(0), 0), "1 to 1,000,000"),
    (lambda: cloud(world.sample(0), 10.0), "1 to 1,000,000"),
    (lambda: cloud(world.sample(0), 10, seed="x"), "not a seed"),
])
def test_clouds_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_cloud_is_a_pure_function():
    one, again, other = (cloud(world.sample(4), 300, seed) for seed in (7, 7, 8))
    assert all((a == b).all() for a, b in zip(one, again)) and (one.points != other.points).any()
    assert cloud(world.sample(4), 1).points.shape == (1, 3)


# ---- sensors

def test_what_objects_do_is_felt():
    done = Counter()
    for seed in range(60):
        scene = world.sample(seed)
        traces, doing = trace(scene, (50, 100, 63)[seed % 3], seed), activities(scene, seed)
        assert traces.shape == (len(scene), 4 * (50, 100, 63)[seed % 3], 3) and traces.dtype == np.float32
        assert feel(traces) == doing
        done.update(doing)
    assert set(done) == set(ACTIVITIES) and min(done.values()) > 15


def test_a_film_is_felt_as_it_is_seen():
    done = Counter()
    for seed in range(40):
        one = film(world.sample(seed), 16, seed)
        traces, doing = trace(one, seed=seed), activities(one)
        assert traces.shape == (len(one.tracks), 100, 3) and feel(traces) == doing
        bounced = {event.object for event in one.events if event.kind == "bounce"}
        assert bounced == {i for i, activity in enumerate(doing) if activity == "bounce"}
        assert {i for i, path in enumerate(one.tracks) if not way(path)} == {
            i for i, activity in enumerate(doing) if activity == "rest"}
        done.update(doing)
    assert set(done) == {"rest", "slide", "bounce"}


def test_a_kick_points_away_from_the_wall_and_changes_the_velocity():
    felt = trace(Film([moving(*range(60, 11, -8), *range(20, 80, 8))]), 400)[0]  # turns at 12 in frame 6
    assert felt[:, 2].mean() == pytest.approx(GRAVITY, abs=0.1)
    kick = slice(int(400 * (6 / 8 - 0.04)), int(400 * (6 / 8 + 0.04)))
    assert felt[:, 0].argmax() in range(kick.start, kick.stop) and abs(felt[:, 1]).max() < 3
    assert felt[kick, 0].sum() / 400 == pytest.approx(2 * 8 * 8 / GRID, abs=0.08)  # from -0.5 to 0.5 m/s


def test_a_sensor_that_is_not_there_is_off():
    felt = trace(Film([moving(None, None, 60, 60), moving(99, 99, 99, 99)]))
    assert not felt[1, :12].any() and (felt[1, 13:, 2] > 9).all() and (felt[0, :, 2] > 9).all()


def test_spinning_keeps_the_length_of_gravity():
    for seed in range(20):
        scene = world.sample(seed)
        for activity, samples in zip(activities(scene, seed), trace(scene, seed=seed)):
            if activity == "spin":
                assert np.linalg.norm(samples, axis=1) == pytest.approx(GRAVITY, abs=0.3)


def asked_of(scene, words):
    who, = (i for i, o in enumerate(scene) if set(words) <= {o.shape, o.color, o.size, o.texture})
    return who


def test_traces_are_pure_functions_with_questions():
    scene = world.sample(8)
    one, again, other = (trace(scene, seed=seed) for seed in (3, 3, 4))
    assert (one == again).all() and (one != other).any()
    answers = Counter()
    for seed in range(300):
        scene = world.sample(seed, "rich")
        doing = activities(scene, seed)
        try:
            asked = trace_questions(scene, doing, 4, seed)
        except world.NothingToAsk:
            continue  # every object has a twin
        for question in asked:
            kind, *rest = question.program
            if kind == "who" and rest[0] == "slide":
                assert "bounce" not in doing                                  # what bounces slides, too
            if kind == "doing":
                assert {rest[0], doing[asked_of(scene, rest[-1])]} != {"slide", "bounce"}
            if kind == "who":
                who, = (i for i, activity in enumerate(doing) if activity == rest[0])
                assert question.answer == getattr(scene[who], rest[1])
                assert question.text.endswith(f" {rest[0]}s?")
                continue
            who = asked_of(scene, rest[-1])
            truth = doing[who] if kind == "does" else "yes" if doing[who] == rest[0] else "no"
            assert question.answer == truth
            answers[question.answer] += 1
    assert set(answers) == {*ACTIVITIES, "yes", "no"}
    assert 0.8 < answers["yes"] / answers["no"] < 1.25


@pytest.mark.parametrize("call, message", [
    (lambda: trace(world.sample(0), 49), "50 to 1000"),
    (lambda: trace(world.sample(0), 99.5), "50 to 1000"),
    (lambda: trace(Scene(())), "could carry a sensor"),
    (lambda: trace(world.sample(0), seed=-1), "not a seed"),
    (lambda: feel(np.zeros((4, 3))), "shape"),
    (lambda: feel(np.full((1, 9, 3), np.inf)), "finite"),
    (lambda: feel(np.zeros((1, 9, 3))), "off"),
    (lambda: trace_questions(world.sample(0), ()), "activities"),
    (lambda: trace_questions(Scene((replace(BALL, x=0.2), BALL)), ("rest", "spin")), "told from the others"),
])
def test_sensors_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_importing_the_world_loads_no_recordings_and_nothing_heavy():
    code = ("import sys, mmcourse.world.speech as s, mmcourse.world.sensor, mmcourse.world.points\n"
            "assert s.recordings.cache_info().currsize == 0\n"
            "assert not {'torch', 'matplotlib', 'scipy', 'jupyterlab'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)
