"""Pictures of shelves, crates and hands that hold products, drawn from photographs of products, with boxes.

Products are iconic pictures cut out of their white ground, the middles of photographs of packages bent into faces, and
packages that are drawn from nothing. Hands, arms, shelves and floors are always drawn. Boxes are those of the whole
thing, clipped to the picture, whatever stands before it; things of which less than VISIBLE shows have none.
"""

import csv
import functools
import multiprocessing

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from features import is_held_out, opened, read_split

SIDE_PX = 256
PRODUCT, HAND = 0, 1
CLASSES = ("product", "hand")
# Scenes are drawn this much larger and then reduced.
FINER = 2
VISIBLE = 0.35
LEAST_PX = 7
SKIN = np.array([(240, 205, 180), (224, 172, 140), (198, 140, 104), (160, 105, 75), (110, 72, 52), (75, 48, 38)], float)


def cut_out(image):
    """What is not the white ground around it, as RGBA."""
    image.thumbnail((240, 240))
    framed = Image.new("RGB", (image.width + 4, image.height + 4), "white")
    framed.paste(image, (2, 2))
    filled = framed.copy()
    ImageDraw.floodfill(filled, (0, 0), (255, 0, 255), thresh=24)
    ground = np.all(np.asarray(filled) == (255, 0, 255), axis=2)
    alpha = Image.fromarray(np.where(ground, 0, 255).astype(np.uint8)).filter(ImageFilter.MinFilter(3))
    framed.putalpha(alpha.filter(ImageFilter.GaussianBlur(0.6)))
    return framed.crop(alpha.getbbox())


class Products:
    """The products of one side of the split: for training, or held out of it."""

    def __init__(self, data, split):
        rows = list(csv.DictReader((data / "classes.csv").open()))
        held = split == "val"
        self.cut = []
        for row in rows:
            if is_held_out(int(row["Class ID (int)"])) == held:
                name = row["Iconic Image Path (str)"].split("/iconic-images-and-descriptions/")[1]
                self.cut.append(cut_out(opened(data / "iconic" / name)))
        self.photos = [p for p in read_split(data, split)[0] if "Packages" in p.parts]
        self.opened = {}

    def photo(self, rng):
        path = self.photos[rng.integers(len(self.photos))]
        if path not in self.opened:
            self.opened[path] = opened(path)
        return self.opened[path]

    def any(self, rng):
        """One product, RGBA, about 200 px high."""
        kind = rng.random()
        if kind < 0.4:
            sprite = self.cut[rng.integers(len(self.cut))]
        elif kind < 0.65:
            sprite = faced(self.photo(rng), rng)
        else:
            sprite = drawn_package(rng)
        return recoloured(sprite, rng)


def recoloured(sprite, rng):
    alpha, image = sprite.getchannel("A"), sprite.convert("RGB")
    if rng.random() < 0.35:
        h, s, v = image.convert("HSV").split()
        turn = int(rng.integers(256))
        image = Image.merge("HSV", (h.point(lambda p: (p + turn) % 256), s, v)).convert("RGB")
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.55, 1.25))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.7, 1.2))
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.5, 1.3))
    image.putalpha(alpha)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.3 else image


def shaded(image, rng):
    """Darker to one side, or to both as on a can."""
    x = np.linspace(-1, 1, image.width)
    light = 1 - rng.uniform(0, 0.5) * np.abs(x - rng.uniform(-0.7, 0.7)) ** 1.5
    pixels = np.asarray(image.convert("RGB"), float) * light[None, :, None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def faced(photo, rng):
    """The middle of a photograph as a face of a package."""
    w, h = photo.width * rng.uniform(0.3, 0.5), photo.height * rng.uniform(0.4, 0.7)
    left, top = (photo.width - w) * rng.uniform(0.4, 0.6), (photo.height - h) * rng.uniform(0.4, 0.6)
    size = (int(rng.uniform(70, 150)), 200)
    face = shaded(photo.resize(size, box=(left, top, left + w, top + h)), rng)
    face.putalpha(outline(size, rng))
    return face


def outline(size, rng):
    """The shape of a box, a can, a bottle or a bag."""
    w, h = size
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    kind = rng.random()
    if kind < 0.45:
        draw.rounded_rectangle((0, 0, w - 1, h - 1), radius=int(rng.uniform(0, 6)), fill=255)
    elif kind < 0.6:
        draw.rounded_rectangle((0, 0, w - 1, h - 1), radius=int(w * rng.uniform(0.1, 0.35)), fill=255)
    elif kind < 0.85:
        neck, shoulder = w * rng.uniform(0.12, 0.3), h * rng.uniform(0.2, 0.45)
        draw.rectangle((w / 2 - neck, 0, w / 2 + neck, shoulder), fill=255)
        draw.rounded_rectangle((0, shoulder * 0.8, w - 1, h - 1), radius=int(w * 0.2), fill=255)
    else:
        turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        reach = rng.uniform(0.85, 1.0, 24)
        power = rng.uniform(0.4, 1.0)
        bent = lambda v: np.sign(v) * np.abs(v) ** power
        xy = np.stack([w / 2 * (1 + bent(np.cos(turns)) * reach), h / 2 * (1 + bent(np.sin(turns)) * reach)], 1)
        draw.polygon([tuple(p) for p in xy], fill=255)
    return mask


def drawn_package(rng):
    """Bands, patches, discs and lines of print on one colour."""
    w, h = int(rng.uniform(50, 190)), 200
    colour = lambda: tuple(int(c) for c in rng.integers(0, 256, 3))
    image = Image.new("RGB", (w, h), colour())
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 6)):
        x, y = rng.uniform(-0.2, 1, 2) * (w, h)
        a, b = rng.uniform(0.1, 1.0, 2) * (w, h)
        kind = rng.random()
        if kind < 0.35:
            draw.rectangle((0, y, w, y + b * 0.5), fill=colour())
        elif kind < 0.7:
            draw.ellipse((x, y, x + a, y + b * 0.6), fill=colour())
        else:
            draw.rectangle((x, y, x + a, y + b * 0.5), fill=colour())
    for _ in range(rng.integers(0, 7)):
        text = "".join(chr(c) for c in rng.integers(65, 91, rng.integers(2, 9)))
        place = tuple(rng.uniform(-0.1, 0.8, 2) * (w, h))
        draw.text(place, text, fill=colour(), font_size=rng.uniform(8, 44))
    image = shaded(image, rng)
    image.putalpha(outline((w, h), rng))
    return image


def leaned(sprite, height, angle, rng):
    """At this height, narrower at one end as seen from above, turned by degrees."""
    width = max(int(sprite.width * height / sprite.height), 4)
    sprite = sprite.resize((width, max(int(height), 4)), Image.Resampling.BILINEAR, reducing_gap=2)
    w, h = sprite.size
    pinch, lean = rng.uniform(0, 0.12) * w, rng.uniform(-0.1, 0.1) * w
    quad = (-pinch, -1, max(lean, 0), h, w - 1 + min(lean, 0), h, w + pinch, -1)
    sprite = sprite.transform((w, h), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    turned = sprite.rotate(angle, Image.Resampling.BILINEAR, expand=True) if abs(angle) > 1 else sprite
    box = turned.getchannel("A").point(lambda a: 255 if a > 60 else 0).getbbox()
    return turned.crop(box) if box else turned


class Scene:
    """A canvas that remembers whose each pixel is."""

    def __init__(self, rng):
        self.rng, self.side = rng, SIDE_PX * FINER
        self.image = background(rng, self.side)
        self.owner = np.zeros((self.side, self.side), np.int32)
        self.things = []

    def begin(self, kind):
        self.things.append({"kind": kind, "box": None, "area": 0})
        return len(self.things)

    def put(self, layer, at, thing=None):
        """Pastes RGBA; its pixels are the thing's, or nobody's."""
        x, y = int(at[0]), int(at[1])
        self.image.paste(layer, (x, y), layer)
        solid = np.asarray(layer.getchannel("A")) > 100
        rows, columns = np.any(solid, 1).nonzero()[0], np.any(solid, 0).nonzero()[0]
        if not len(rows):
            return
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + layer.width, self.side), min(y + layer.height, self.side)
        if x1 <= x0 or y1 <= y0:
            return
        part = solid[y0 - y:y1 - y, x0 - x:x1 - x]
        self.owner[y0:y1, x0:x1][part] = thing or 0
        if thing:
            t = self.things[thing - 1]
            box = (x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1)
            old = t["box"] or box
            t["box"] = (min(old[0], box[0]), min(old[1], box[1]), max(old[2], box[2]), max(old[3], box[3]))
            t["area"] += int(solid.sum())

    def boxes(self):
        """Rows of left, top, right, bottom, class, in pixels of the finished picture."""
        seen = np.bincount(self.owner.ravel(), minlength=len(self.things) + 1)
        out = []
        for n, t in enumerate(self.things, 1):
            if t["box"] is None or seen[n] < VISIBLE * t["area"]:
                continue
            box = np.clip(np.array(t["box"], float) / FINER, 0, SIDE_PX)
            if min(box[2] - box[0], box[3] - box[1]) >= LEAST_PX:
                out.append([*box, t["kind"]])
        return np.array(out, np.float32).reshape(-1, 5)


def background(rng, side):
    """Floors, walls, clothes and furniture: gradients, blocks, lines, noise."""
    base, other = rng.uniform(20, 235, (2, 1, 1, 3)) * 0.7 + rng.uniform(20, 235, (2, 1, 1, 1)) * 0.3
    small = side // 2
    share = np.linspace(0, 1, small, dtype=np.float32)
    share = (share[:, None] * rng.uniform(0, 1) + share[None] * rng.uniform(0, 1))[..., None]
    image = Image.fromarray(np.clip(base + (other - base) * share, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 9)):
        x, y = rng.uniform(-0.2, 1, 2) * small
        a, b = rng.uniform(0.03, 0.9, 2) * small
        colour = tuple(int(c) for c in rng.uniform(10, 245, 3) * 0.6 + rng.uniform(10, 245) * 0.4)
        kind = rng.random()
        if kind < 0.4:
            draw.rectangle((x, y, x + a, y + b), fill=colour)
        elif kind < 0.6:
            draw.ellipse((x, y, x + a, y + b), fill=colour)
        else:
            for step in range(rng.integers(1, 9)):
                d = step * a / 3
                draw.line((x + d, 0, x + d + rng.normal(0, 30), small), fill=colour, width=int(rng.uniform(1, 8)))
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0, 3)))
    grain = Image.fromarray(np.clip(rng.normal(128, rng.uniform(0, 14), (small // 2,) * 2), 0, 255).astype(np.uint8))
    grain = grain.resize((small, small)).convert("RGB")
    return ImageChops.add(image, grain, 1, -128).resize((side, side), Image.Resampling.BILINEAR)


def shelves(scene, products):
    """Rows of facings on boards with price tags; some places are empty."""
    rng, side = scene.rng, scene.side
    deep = int(side / rng.uniform(1.0, 4.0))
    tint = rng.uniform(0.3, 1.0)
    wall = Image.new("RGBA", (side, side), tuple(int(c * tint) for c in rng.uniform(150, 255, 3)) + (255,))
    if rng.random() < 0.8:
        scene.put(wall, (0, 0))
    y = rng.uniform(-0.5, 0.6) * deep
    while y < side:
        floor = y + deep
        x = rng.uniform(-60, 30)
        while x < side:
            if rng.random() < 0.15:
                x += rng.uniform(20, 160)
                continue
            sprite, height = products.any(rng), deep * rng.uniform(0.4, 0.9)
            for _ in range(rng.integers(1, 6)):
                if rng.random() < 0.5:
                    behind = ImageEnhance.Brightness(leaned(sprite, height * 0.95, 0, rng)).enhance(0.6)
                    scene.put(behind, (x + rng.normal(0, 4), floor - behind.height - rng.uniform(4, 26)))
                item = leaned(sprite, height, rng.normal(0, 2), rng)
                scene.put(item, (x, floor - item.height + rng.normal(0, 2)), scene.begin(PRODUCT))
                x += item.width * rng.uniform(0.97, 1.15)
                if x > side:
                    break
            x += rng.uniform(0, 20)
        board = max(int(deep * rng.uniform(0.06, 0.2)), 3)
        metal = int(rng.uniform(60, 240))
        plank = Image.new("RGBA", (side, board), (metal, metal, metal, 255))
        draw, at = ImageDraw.Draw(plank), rng.uniform(0, 80)
        while at < side and rng.random() < 0.85:
            wide = rng.uniform(30, 70)
            draw.rectangle((at, 1, at + wide, board - 2), fill=(250, 250, int(rng.choice([60, 240]))))
            draw.text((at + 3, 1), f"{rng.uniform(1, 99):.2f}", fill="black", font_size=max(board * 0.7, 4))
            at += wide + rng.uniform(10, 140)
        scene.put(plank, (0, floor))
        y += deep + board


def crate(scene, products):
    """A heap of one product."""
    rng, side = scene.rng, scene.side
    sprite, size = products.any(rng), side * rng.uniform(0.12, 0.35)
    left, top = rng.uniform(0, 0.5, 2) * side
    for _ in range(rng.integers(6, 40)):
        item = leaned(sprite, size * rng.uniform(0.85, 1.1), rng.uniform(0, 360), rng)
        at = (left + rng.uniform(0, 0.6) * side - item.width / 2, top + rng.uniform(0, 0.6) * side - item.height / 2)
        scene.put(item, at, scene.begin(PRODUCT))


def limb(layer, points, widths, colour, rng):
    """A thick bent line with a darker rim and a lighter ridge."""
    draw = ImageDraw.Draw(layer)
    for grow, shade in ((1.0, 0.72), (0.82, 1.0), (0.35, 1.07)):
        fill = tuple(int(min(c * shade, 255)) for c in colour) + (255,)
        for (a, b), (wa, wb) in zip(zip(points, points[1:]), zip(widths, widths[1:])):
            apart = max(min(wa, wb) * grow / 4, 1)
            for s in np.linspace(0, 1, int(np.hypot(*(b - a)) / apart) + 2):
                p, r = a + (b - a) * s, (wa + (wb - wa) * s) * grow / 2
                draw.ellipse((p[0] - r, p[1] - r, p[0] + r, p[1] + r), fill=fill)


def hand(scene, centre, size, held):
    """A hand that comes from somewhere to `centre`; with something held, it is put between palm and fingers."""
    rng, side = scene.rng, scene.side
    angle = rng.uniform(0, 2 * np.pi)
    ahead = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-ahead[1], ahead[0]]) * rng.choice([-1, 1])
    light = rng.uniform(0, len(SKIN) - 1.001)
    colour = SKIN[int(light)] + (SKIN[int(light) + 1] - SKIN[int(light)]) * (light % 1)
    colour = colour * rng.uniform(0.75, 1.1) + rng.normal(0, 6, 3)
    half = 0.0 if held is None else 0.4 * min(held.size)
    palm = centre - ahead * (half + size * rng.uniform(0.05, 0.3))
    wrist = palm - ahead * size * 0.5

    new = lambda: Image.new("RGBA", (side, side), tuple(int(c) for c in np.clip(colour, 0, 255)) + (0,))
    arm, back, front = new(), new(), new()
    sleeve = rng.uniform(10, 240, 3) if rng.random() < 0.65 else colour * 0.97
    bare = rng.uniform(0.0, 1.2)
    elbow = wrist - ahead * side * 1.2 + across * rng.normal(0, 0.3) * side
    if bare > 0:
        limb(arm, [wrist, wrist + (elbow - wrist) * 0.4], [size * 0.5, size * 0.62], colour, rng)
    begun = wrist + (elbow - wrist) * 0.3 * bare
    limb(arm, [begun, elbow], [size * 0.75, size * 1.1], sleeve, rng)
    scene.put(arm, (0, 0))

    fingers_before = rng.random() < 0.5
    before, behind = (front, back) if fingers_before else (back, front)
    limb(back, [wrist, palm, palm + ahead * size * 0.15], [size * 0.52, size * 0.85, size * 0.8], colour, rng)
    curl = rng.uniform(-0.5, 0.5)
    reach = size * rng.uniform(0.45, 0.95)
    spread = rng.uniform(0.9, 1.5)
    for n in range(4):
        root = palm + ahead * size * 0.25 + across * size * spread * (n - 1.5) * 0.2
        bend = across * size * (0.06 * (n - 1.5) * spread + 0.2 * curl)
        mid = root + ahead * reach * 0.55 + bend
        tip = mid + ahead * reach * rng.uniform(0.15, 0.5) + bend * rng.uniform(0.5, 2.0)
        limb(before, [root, mid, tip], [size * 0.21, size * 0.19, size * 0.14], colour, rng)
    root = palm - across * size * 0.35
    mid = root + ahead * size * 0.3 - across * size * rng.uniform(0.05, 0.35)
    tip = mid + ahead * size * rng.uniform(0.2, 0.45) + across * size * rng.uniform(-0.1, 0.3)
    limb(behind, [root, mid, tip], [size * 0.28, size * 0.23, size * 0.16], colour, rng)

    thing = scene.begin(HAND)
    scene.put(back, (0, 0), thing)
    if held is not None:
        place = centre + rng.normal(0, 0.05 * size, 2) - np.array(held.size) / 2
        scene.put(held, place, scene.begin(PRODUCT))
    scene.put(front, (0, 0), thing)


def worn(image, rng):
    """What lenses, sensors and codecs do: low resolution, blur, movement, noise, colour, compression."""
    if rng.random() < 0.5:
        less = int(SIDE_PX / rng.uniform(1.2, 4.0))
        image = image.resize((less, less), Image.Resampling.BOX).resize((SIDE_PX,) * 2, Image.Resampling.BILINEAR)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.6)))
    if rng.random() < 0.2:
        steps = rng.normal(0, 3, 2)
        image = Image.blend(image, ImageChops.offset(image, int(steps[0]), int(steps[1])), 0.5)
    gamma, gain, cast = rng.uniform(0.65, 1.5), rng.uniform(0.7, 1.15), rng.uniform(0.88, 1.12, 3)
    curve = 255 * np.linspace(0, 1, 256) ** gamma * gain
    image = image.point([int(v) for c in cast for v in np.clip(curve * c, 0, 255)])
    noise = rng.normal(0, rng.uniform(0, 10), (SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    return np.clip(np.asarray(image, np.float32) + noise, 0, 255).astype(np.uint8)


def scene(products, rng):
    """One picture, SIDE_PX x SIDE_PX x 3, and its boxes."""
    s = Scene(rng)
    kind = rng.random()
    if kind < 0.6:
        shelves(s, products)
    elif kind < 0.7:
        crate(s, products)
    hands = rng.choice([0, 1, 2], p=[0.25, 0.6, 0.15])
    for _ in range(hands):
        centre, size = rng.uniform(0.15, 0.85, 2) * s.side, s.side * np.exp(rng.uniform(np.log(0.08), np.log(0.36)))
        held = None
        if rng.random() < 0.75:
            held = leaned(products.any(rng), size * rng.uniform(0.8, 2.4), rng.normal(0, 30), rng)
        hand(s, centre, size, held)
    if kind > 0.7 and rng.random() < 0.3:
        for _ in range(rng.integers(1, 4)):
            item = leaned(products.any(rng), s.side * rng.uniform(0.1, 0.6), rng.uniform(0, 360), rng)
            s.put(item, rng.uniform(-0.1, 0.8, 2) * s.side, s.begin(PRODUCT))
    return worn(s.image.reduce(FINER), rng), s.boxes()


def one(n, seed):
    return scene(PRODUCTS, np.random.default_rng([seed, n]))


def begin(data, split):
    global PRODUCTS
    PRODUCTS = Products(data, split)


def many(data, split, count, seed, processes=1):
    """So many scenes, the same for the same seed however many draw them: pictures and a list of boxes."""
    with multiprocessing.Pool(processes, begin, (data, split)) as pool:
        drawn = pool.map(functools.partial(one, seed=seed), range(count), chunksize=16)
    return np.stack([picture for picture, _ in drawn]), [boxes for _, boxes in drawn]
