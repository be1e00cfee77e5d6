"""Instances of the notebook's classes, and classes that change, are redefined or keep state."""

from tests.fuzz.moves.topic import Topic

OBJECTS = Topic(
    name="objects",
    imports="import dataclasses\nimport enum\nfrom dataclasses import dataclass, field\nfrom types import SimpleNamespace",
    definitions={
        "Box": "class Box:\n    made = 0\n    def __init__(self, content):\n        self.content = content\n"
        "    def put(self, value):\n        self.content.append(value)\n        return self\n"
        "    def swap(self, other):\n        self.content, other.content = other.content, self.content\n"
        "    @property\n    def size(self):\n        return len(self.content)\n"
        "    @size.setter\n    def size(self, n):\n        del self.content[n:]\n"
        "    @classmethod\n    def empty(cls):\n        return cls([])\n"
        "    def __repr__(self):\n        return f'{type(self).__name__}({self.content})'",
        "Lid": "class Lid(Box):\n    def put(self, value):\n        super().put(value)\n        self.closed = True\n        return self",
        "Tally": "class Tally(dict):\n    def hit(self, key):\n        self[key] = self.get(key, 0) + 1\n"
        "        return self[key]",
        "Slots": "class Slots:\n    __slots__ = ('a', 'b')\n    def __init__(self, a, b):\n        self.a, self.b = a, b\n"
        "    def __repr__(self):\n        return f'Slots({self.a}, {self.b})'",
        "Point": "@dataclass\nclass Point:\n    x: int = 0\n    trail: list = field(default_factory=list)\n"
        "    def move(self, by):\n        self.x += by\n        self.trail.append(self.x)\n        return self",
        "Registry": "class Registry:\n    known = {}\n    @classmethod\n    def add(cls, key, value):\n        cls.known[key] = value",
        "Colour": "class Colour(enum.Enum):\n    RED = 1\n    BLUE = 2",
        "Node": "class Node:\n    def __init__(self, value, parent=None):\n        self.value, self.parent, self.children = value, parent, []\n"
        "        if parent is not None:\n            parent.children.append(self)\n"
        "    def __repr__(self):\n        return f'Node({self.value}, {self.children})'",
        "Lazy": "class Lazy:\n    def __getattr__(self, name):\n        if name.startswith('_'):\n            raise AttributeError(name)\n"
        "        self.__dict__[name] = [name]\n        return self.__dict__[name]",
        "Calls": "class Calls:\n    def __init__(self):\n        self.count = 0\n    def __call__(self, *args):\n        self.count += 1\n        return self.count",
    },
    variables={
        "box": {
            "b1": ("b1 = Box([7])", "b1 = Box(l2)"),
            "b2": ("b2 = Box([])", "b2 = Lid([1])", "b2 = b1"),
        },
        "tally": {"y1": ("y1 = Tally()", "y1 = Tally(a=1)")},
        "slots": {"k1": ("k1 = Slots(1, [2])", "k1 = Slots(l1, l1)")},
        "point": {
            "p1": ("p1 = Point()", "p1 = Point(2, [1])"),
            "p2": ("p2 = p1", "p2 = dataclasses.replace(p1, x=5)"),
        },
        "bag": {"g1": ("g1 = SimpleNamespace(a=1, l=[1])", "g1 = SimpleNamespace(a=l1)")},
        "colour": {"c1": ("c1 = Colour.RED",)},
        "node": {"e1": ("e1 = Node(1)",), "e2": ("e2 = Node(2, e1)",)},
        "lazy": {"z3": ("z3 = Lazy()",)},
        "calls": {"j1": ("j1 = Calls()",), "j2": ("j2 = j1", "j2 = Calls()")},
    },
    shows={
        "box": "($_, vars($_))",
        "tally": "$_",
        "slots": "$_",
        "point": "$_",
        "bag": "$_",
        "colour": "($_, $_ is Colour.RED)",
        "node": "($_, $_.parent)",
        "lazy": "vars($_)",
        "calls": "$_.count",
    },
    moves=(
        "$box.put($k)",
        "$box.put($k).put($number)",
        "$box = Box($list)",
        "$box = Lid($list[:2])",
        "$box = Box.empty()",
        "$box = $box2",
        "$box.content = $list",
        "$box.content = [$box2.size]",
        "$box.swap($box2)",
        "$box.size = 1",
        "$box.extra = $number",
        "vars($box)['extra'] = $k",
        "setattr($box, 'extra', [$k])",
        "$list = $box.content",
        "Box.made = $k",
        "$box.made = $k",
        "Box.made += 1",
        "$number = Box.made",
        "method = $box.put\nmethod($k)",
        "for each in ($box, $box2):\n    each.put($k)",
        "$list.append($box)",
        "$dict['b'] = $box",
        "held = $dict.get('b')\nif held is not None:\n    held.put($k)",
        "$number = isinstance($box, Box) + isinstance($box, Lid)",
        "$box.__class__ = Lid",
        "$box.on_put = lambda: $k\n$number = $box.on_put()\ndel $box.on_put",
        "$tally.hit('$k')",
        "$tally = Tally($tally2)",
        "$tally.label = $text",
        "$slots.a = $k",
        "$slots.b = $list",
        "$slots, $list = Slots($list, $list2), $list2",
        "$point.move($k)",
        "$point = $point2.move($k)",
        "$point = Point(trail=$list[:1])",
        "$point.trail = $list",
        "$point.x += $k",
        "$point = dataclasses.replace($point2, x=$k)",
        "$bag.a = $k",
        "$bag.new = $list",
        "$bag.__dict__.update(a=$k)",
        "Registry.add('$k', $number)",
        "Registry.known['x'] = $k",
        "$number = len(Registry.known)",
        "$colour = Colour($k % 2 + 1)",
        "$dict['c'] = $colour\n$number = $dict['c'] is Colour.BLUE",
        "$node = Node($k, $node2)",
        "$node.children.append(Node($k))",
        "$node.value = $k",
        "$node = $node2.parent or $node2",
        "$node.children[-1:] = []",
        "$lazy.a$k",
        "$lazy.a.append($k)",
        "$calls($k)",
        "$number = $calls()",
        "$list = sorted($list, key=lambda each: ($calls(), str(each)))",
        "class Box:\n    made = 10\n    def __init__(self, content):\n        self.content = content\n"
        "    def put(self, value):\n        self.content.insert(0, value)\n        return self\n    size = 1",
        "class Point:\n    x = 1\n    def __init__(self, x=0, trail=()):\n        self.x, self.trail = x, [*trail]\n"
        "    def __repr__(self):\n        return f'New({self.x}, {self.trail})'\n    def move(self, by):\n        self.x -= by\n        return self",
        "def put(self, value):\n    self.content.append([value])\n    return self\nBox.put = put",
        "Box.tell = lambda self: len(self.content)\n$number = $box.tell()",
    ),
)
