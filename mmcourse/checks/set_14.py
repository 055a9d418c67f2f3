"""Checks of lesson 14, the Vision Transformer. Truth: loops over pixels, torch's unfold, hand numbers, the world's own masks."""


import torch

from mmcourse import world, zoo
from mmcourse.checks import close, exercise, expect, numbers, same, takes, tensor
from mmcourse.recipes.vision import pictures


@exercise("14.1", points=2)
def predictions(answer):
    got = numbers(answer, "numbers", "patches", "tokens", "pairs", "llava", "bag")
    expect(got["numbers"] != 256, '"numbers": 256 pixels, and each has three numbers: red, green and blue.')
    expect(got["numbers"] == 768, '"numbers": width times height times colors.')
    expect(got["patches"] != 14, '"patches": 14 is the number along one side.')
    expect(got["patches"] == 196, '"patches": 224 / 16 along a side, and the picture has two sides.')
    expect(got["tokens"] != 196, '"tokens": the class token comes out too.')
    expect(got["tokens"] == 197, '"tokens": one for each patch and one more.')
    expect(got["pairs"] != 4, '"pairs": there are four times as many patches, and each of them meets four times as many.')
    expect(got["pairs"] == 16, '"pairs": patches times patches, for both sizes; then divide.')
    expect(got["llava"] not in (575, 577), '"llava": the class token is one of the 577 and the only one that is left out. '
                                           "All patches stay.")
    expect(got["llava"] == 576, '"llava": 336 / 14 along a side, squared.')
    expect(not got["bag"], '"bag": attention is a weighted mean, and a mean does not know the order of its terms.')


def _cells(image, size):
    """The patches of (C, H, W) by loops: a list of (C, size, size)."""
    return [image[:, row:row + size, column:column + size]
            for row in range(0, image.shape[1], size) for column in range(0, image.shape[2], size)]


@exercise("14.2", points=3)
def assemble(answer):
    takes(answer, "patches", "size", "height", "width")
    size, rows, columns = (int(torch.randint(low, 5, ())) for low in (2, 2, 2))
    columns += rows                                          # never square
    for wide in (True, False):
        _assemble(answer, size, *((rows, columns) if wide else (columns, rows)))


def _assemble(answer, size, rows, columns):
    height, width = rows * size, columns * size
    want = torch.randn(2, 3, height, width)
    patches = torch.stack([torch.stack([cell.flatten() for cell in _cells(image, size)]) for image in want])
    got = answer(patches.clone(), size, height, width)
    tensor(got, want.shape, torch.float32)
    expect(not same(got, patches.reshape(want.shape)),
           "A reshape alone: the pixels of a patch are not neighbors in the picture's memory. Name six axes and permute them.")
    six = patches.view(2, rows, columns, 3, size, size)
    for wrong, hint in (
            ((0, 3, 1, 2, 4, 5), "Rows and columns of patches stand together before the rows inside of a patch: after a row of "
                                 "patches come the pixel rows of that patch."),
            ((0, 3, 1, 5, 2, 4), "Each patch lies on its side: the axes inside of a patch have changed places."),
            ((0, 3, 2, 4, 1, 5), "The patches stand in columns: reading order goes along the row first.")):
        expect(not same(got, six.permute(wrong).reshape(want.shape)), hint)
    last = patches.view(2, rows, columns, size, size, 3).permute(0, 5, 1, 3, 2, 4).reshape(want.shape)
    expect(not same(got, last), "The colors were taken as the last axis of a patch: all red numbers come first, then green, "
                                "then blue.")
    tall = patches.view(2, columns, rows, 3, size, size).permute(0, 3, 1, 4, 2, 5).reshape(2, 3, width, height)
    expect(not same(got, tall.reshape(want.shape)), "Rows and columns are mixed up: height / size is the number of rows.")
    close(got, want, "The pictures are not the ones that were cut.")


@exercise("14.3", points=4)
def embed(answer):
    takes(answer, "images", "kernel", "bias", "class_token", "position")
    for size in (torch.randperm(4)[:2] + 2).tolist():
        _embed(answer, size, int(torch.randint(5, 8, ())), int(torch.randint(2, 4, ())), int(torch.randint(1, 4, ())))


def _embed(answer, size, width, rows, count):
    columns = rows + 1
    images, kernel = torch.randn(count, 3, rows * size, columns * size), torch.randn(width, 3, size, size)
    bias, first = torch.randn(width), torch.randn(width)
    position = torch.randn(1 + rows * columns, width)
    plain = torch.stack([torch.stack([(kernel * cell).sum((1, 2, 3)) for cell in _cells(image, size)]) for image in images])
    patches = plain + bias
    tokens = torch.cat([first.expand(count, 1, -1), patches], 1)
    got = answer(*(given.clone() for given in (images, kernel, bias, first, position)))
    tensor(got, tokens.shape, torch.float32)
    expect(not same(got, tokens, 1e-4), "The positions are missing: without them the patches are a bag.")
    expect(not same(got[:, 0], position[0].expand(count, -1), 1e-4), "Token 0 holds its position alone: the class token is missing.")
    expect(not same(got, torch.cat([tokens[:, :1] + position[0], patches], 1), 1e-4),
           "Only the class token has a position: patch i gets position[1 + i].")
    expect(not same(got, tokens + position[0], 1e-4), "All tokens have the same position: token i gets position[i].")
    expect(not same(got, torch.cat([patches, first.expand(count, 1, -1)], 1) + position, 1e-4),
           "The class token stands last: it comes first, and position[0] belongs to it.")
    late = torch.cat([first.expand(count, 1, -1), patches + position[1:]], 1)
    expect(not same(got, late, 1e-4), "The class token has no position: position[0] is its own.")
    expect(not same(got[:, 1:], patches + position[:-1], 1e-4), "The patches got the positions from 0 on: 0 belongs to the class token.")
    expect(not same(got[:, 1:], plain + position[1:], 1e-4), "The bias is missing.")
    turned = patches.view(count, rows, columns, width).transpose(1, 2).flatten(1, 2)
    expect(not same(got[:, 1:], turned + position[1:], 1e-4), "The patches come column by column: reading order goes along "
                                                              "the row first.")
    mixed = patches.transpose(1, 2).reshape(count, -1, width)
    expect(not same(got[:, 1:], mixed + position[1:], 1e-4),
           "Channels and places are mixed: a reshape of (B, D, rows, columns) to (B, N, D) has the right shape only. Flatten "
           "the places, then transpose.")
    close(got, tokens + position, "The tokens are not those of a ViT.", 1e-4)


def _bilinear(sheet, side):
    """(n, n, D) -> (side, side, D) by the formula, with pixels as areas."""
    n = len(sheet)
    out = torch.zeros(side, side, sheet.shape[-1])
    for row in range(side):
        for column in range(side):
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                y, x = (max((k + 0.5) * n / side - 0.5, 0.0) for k in (row, column))
                a, b = (min(int(k) + step, n - 1) for k, step in ((y, i), (x, j)))
                share = (y % 1 if i else 1 - y % 1) * (x % 1 if j else 1 - x % 1)
                out[row, column] += share * sheet[a, b]
    return out


@exercise("14.4", points=3)
def stretch(answer):
    takes(answer, "position", "side")
    n, width = int(torch.randint(3, 6, ())), int(torch.randint(2, 5, ()))
    _stretch(answer, n, n + int(torch.randint(1, 4, ())), width)
    for n, side in ((11, 15), (6, 4), (5, 5)):                       # 15 / 11 is rounded; a smaller picture; the same size
        position = torch.randn(1 + n * n, 2)
        want = torch.cat([position[:1], _bilinear(position[1:].view(n, n, 2), side).flatten(0, 1)])
        got = answer(position.clone(), side)
        expect(isinstance(got, torch.Tensor) and got.shape == want.shape,
               f"From {n} to {side} patches along a side, {len(want)} positions are needed: give `size=(side, side)`, since a scale "
               "factor is rounded and can lose a row.")
        close(got, want, f"From {n} to {side} patches along a side, the positions are not the bilinear ones (without antialiasing).", 1e-4)


def _stretch(answer, n, side, width):
    position = torch.randn(1 + n * n, width)
    sheet = position[1:].view(n, n, width)
    got = answer(position.clone(), side)
    expect(not isinstance(got, torch.Tensor) or got.shape != (side * side, width),
           "The class token's vector is missing: put it in front, as it was.")
    tensor(got, (1 + side * side, width), torch.float32)
    expect(not same(got[-1:], position[:1]), "The class token's vector stands last: it comes first.")
    expect(not same(got[:1], torch.zeros(1, width)) and same(got[:1], position[:1]),
           "The class token's vector has changed: it has no place, so it stays as it is.")
    want = _bilinear(sheet, side)
    grid = got[1:].view(side, side, width)
    again = position[torch.arange(side * side) % (n * n) + 1].view(side, side, width)
    expect(not same(grid, again), "The old positions were laid down again line after line: the second row of the new grid "
                                  "would get the places of another row.")
    near = torch.tensor([k * n // side for k in range(side)])
    expect(not same(grid, sheet[near][:, near]), "Each place got the vector of one old place: interpolate between them "
                                                 '(mode="bilinear").')
    corners = torch.nn.functional.interpolate(sheet.permute(2, 0, 1)[None], size=side, mode="bilinear", align_corners=True)
    expect(not same(grid, corners[0].permute(1, 2, 0), 1e-4), "The corners are aligned: leave align_corners at False, so that "
                                                              "pixels are areas.")
    cubic = torch.nn.functional.interpolate(sheet.permute(2, 0, 1)[None], size=side, mode="bicubic")
    expect(not same(grid, cubic[0].permute(1, 2, 0), 1e-4), "This is bicubic: good too, and what many libraries do, but "
                                                            "bilinear is asked for here.")
    expect(not same(grid, want.transpose(0, 1), 1e-4), "Rows and columns have changed places.")
    jumbled = torch.stack([_bilinear(part[..., None], side)[..., 0] for part in position[1:].reshape(width, n, n)])
    for mixed in (jumbled.permute(1, 2, 0), jumbled.reshape(side, side, width)):
        expect(not same(grid, mixed, 1e-4), "Places and channels are mixed: (n * n, D) has to be turned to (D, n * n) before "
                                            "it is seen as D pictures, not reshaped.")
    unturned = want.permute(2, 0, 1).reshape(side, side, width)
    expect(not same(grid, unturned, 1e-4), "The resizing is right, but on the way back a reshape mixed places and channels: "
                                           "turn (D, side * side) around instead.")
    close(grid, want, "The new positions are not the bilinear ones.", 1e-4)


@exercise("14.5", points=3)
def feature_grid(answer):
    takes(answer, "tokens")
    for count, side in zip(torch.randperm(3).tolist(), (torch.randperm(3) + 3).tolist()):
        _feature_grid(answer, count + 1, side)


def _feature_grid(answer, count, side):
    width = side + 2
    tokens = torch.randn(count, 1 + side * side, width)
    want = torch.stack([torch.stack([tokens[:, 1 + row * side + column] for column in range(side)], -1)
                        for row in range(side)], -2)
    got = answer(tokens.clone())
    tensor(got, want.shape, torch.float32)
    for kept in (tokens[:, :-1], tokens[:, 1:]):
        mixed = kept.reshape(want.shape)
        right = kept.transpose(1, 2).reshape(want.shape)
        if kept.data_ptr() == tokens.data_ptr():             # the class token kept, the last patch lost
            for wrong in (mixed, right, right.transpose(2, 3)):
                expect(not same(got, wrong), "The class token is still taken for a patch, and the last patch is lost: which "
                                             "of the tokens has no place?")
        else:
            expect(not same(got, mixed), "The class token is gone, but features and places are mixed: turn (B, N, D) to "
                                         "(B, D, N) before you split N into rows and columns.")
            expect(not same(got, right.transpose(2, 3)), "Rows and columns have changed places: patches stand in reading "
                                                         "order.")
    close(got, want, "The mark of a patch is not at its row and column.")


def _things(encoder, seeds):
    """Tokens at the centers of things whose shapes the encoder never saw, and the numbers of these shapes."""
    spec = world.Spec(objects=(2, 4), shapes=world.SHAPES[4:])
    scenes = [world.sample(seed, spec) for seed in seeds]
    with torch.no_grad():
        grids = torch.cat([encoder(part) for part in pictures(scenes).split(100)])
    places = [(b, int(thing.y * 8) * 8 + int(thing.x * 8)) for b, scene in enumerate(scenes) for thing in scene]
    labels = [spec.shapes.index(thing.shape) for scene in scenes for thing in scene]
    return grids[tuple(torch.tensor(places).T)], torch.tensor(labels)


@exercise("14.6", points=4)
def learn_shapes(answer):
    takes(answer, "tokens", "labels", "new")
    encoder = zoo.load("vision").cpu()
    start = int(torch.randint(2 ** 40, 2 ** 60, ()))                    # too many seeds to try
    new, truth = _things(encoder, range(start, start + 400))
    scores, known = [], []
    for start in torch.randint(10 ** 9, (4,)).tolist():
        tokens, labels = (part[:180] for part in _things(encoder, range(start, start + 100)))
        number = torch.randperm(4)                                      # what a shape is called differs from draw to draw
        turn = torch.linalg.qr(torch.randn(128, 128)).Q                 # else examples of other draws would help
        tokens = tokens @ turn
        got = answer(tokens.clone(), number[labels], new @ turn)
        tensor(got, truth.shape, torch.int64, "The guesses")
        scores.append((got == number[truth]).float().mean().item())
        known.append((answer(tokens.clone(), number[labels], tokens.clone()) == number[labels]).float().mean().item())
    score = sum(scores) / len(scores)                                   # the luck of one draw is 3 points
    print(f"{score:.1%} of {len(truth):,} new things are named rightly (target: 77%; chance: 25%), from four draws of 180.")
    expect(score > 0.35, "This is hardly better than chance: do guess and token belong together, and are the labels used?")
    learned = sum(known) / len(known)
    expect(score >= 0.77 or not 0.6 < learned < 0.92, f"It names only {learned:.0%} of the 180 examples themselves rightly: its weights are "
           "held too small, or its training stopped too early.")
    expect(score > 0.63, "Distances between raw tokens count all 128 directions alike, and most of them hold place, color and "
                         "size. Fit a linear map: it chooses its directions.")
    expect(score >= 0.77, "The map fits the 180 examples and also their chance: 129 unknowns for each shape. Keep its weights "
                         "small (ridge, weight decay).")
