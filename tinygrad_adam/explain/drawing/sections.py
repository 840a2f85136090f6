"""Which boxes stand inside which module, and which edges join them: an explanation as levels to lay out.

A module is a box that has a level of its own. A value that comes from outside enters it once, at an end on
the frame, however many operations inside take it; so every level can be laid out by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..chain_rule.explanation import Explanation, Leaf, Step
from ..chain_rule.traces import Constant, ModuleCall
from .faces import Face, call_face, constant_face, leaf_face, leaves_face, rest_face, step_face
from .layout import Box, Edge, Level

MOST = 100
"""How many operations and modules one level shows."""
DRAWN = 1000
"""How many operations are drawn at all, most of them in folded modules."""


@dataclass(eq=False)
class Rest:
    """The part that is too much to draw: operations between the first and the last of a level, or leaves."""

    steps: list[Step] = field(default_factory=list)
    leaves: int = 0


@dataclass(eq=False)
class Section:
    """A module's call, or the whole graph.

    Attributes
    ----------
    call : ModuleCall or None
        None for the whole.
    level : Level
        The boxes and edges inside.
    members : list
        The steps, calls and the rest in it, as they ran.
    steps : list of Step
        All steps in it, at any depth.
    path : list of (Section, member)
        The way here: for each section from the whole on, which member of it to enter.
    """

    call: ModuleCall | None
    level: Level
    members: list[Step | Section | Rest] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    path: list[tuple[Section, object]] = field(default_factory=list)

    @property
    def depth(self) -> int:
        """How many modules are around it."""
        return len(self.path) - 1


class Sections:
    """The tree of sections of an explanation, with a box for each member and leaf.

    Parameters
    ----------
    explanation : Explanation
        The graph.
    names : dict of int to str
        Names of Tensors without a gradient, by their id.

    Attributes
    ----------
    whole : Section
        The outermost.
    sections : dict of ModuleCall to Section
        All others, the outer before the inner.
    faces : dict of Box to Face
        The text of each box; ends of edges have none.
    """

    def __init__(self, explanation: Explanation, names: dict[int, str]) -> None:
        self.explanation = explanation
        self.names = names
        self.whole = Section(None, Level("whole"))
        self.sections: dict[ModuleCall, Section] = {}
        self.faces: dict[Box, Face] = {}
        self._boxes: dict[object, Box] = {}
        self._paths: dict[object, list[tuple[Section, object]]] = {}
        self._ends: dict[tuple[str, Section, object], Box] = {}
        self._edges: dict[tuple[object, ...], Edge] = {}
        for step in reversed(explanation.steps):
            section = self._section(step.call)
            section.members.append(step)
            section.steps.append(step)
            for outer, _ in section.path:
                outer.steps.append(step)
        self._fold()
        self._place_members()
        self._place_leaves()
        for step in reversed(explanation.steps):
            for position, given in enumerate(step.inputs):
                self._connect(given.source, step, position)
        for section in self.drawn():
            section.level.boxes.sort(key=_order)  # stable: ends, then what is inside, then ends

    def _section(self, call: ModuleCall | None) -> Section:
        if call is None:
            return self.whole
        section = self.sections.get(call)
        if section is None:
            outer = self._section(call.within)
            section = self.sections[call] = Section(call, Level(f"L{len(self.sections)}"))
            section.path = [*outer.path, (outer, section)]
            outer.members.append(section)
        return section

    def _fold(self) -> None:
        """Put the part that is too much to draw into one member: the middle of a level, or all of it."""
        drawn = 0
        waiting = [self.whole]
        for section in waiting:  # which grows: the outer levels come first
            count = len(section.members)
            ends = count if count <= MOST else MOST // 4
            if drawn > DRAWN:
                ends = 0
            if 2 * ends < count and ends < count:
                rest = Rest()
                for member in section.members[ends : count - ends]:
                    assert not isinstance(member, Rest)
                    rest.steps += member.steps if isinstance(member, Section) else [member]
                section.members[ends : count - ends] = [rest]
            drawn += len(section.members)
            waiting += [member for member in section.members if isinstance(member, Section)]

    def _place_members(self) -> None:
        waiting = [self.whole]
        result = self.explanation.steps[0]
        while waiting:
            section = waiting.pop()
            for member in section.members:
                path = [*section.path, (section, member)]
                if isinstance(member, Step):
                    face = step_face(member, member is result)
                    self._paths[member] = path
                elif isinstance(member, Rest):
                    face = rest_face(member.steps)
                    self._paths.update((step, path) for step in member.steps)
                else:
                    assert member.call is not None
                    gradient = member.steps[-1].gradient
                    face = call_face(member.call, gradient, len(member.steps))
                    waiting.append(member)
                self._add(section, member, face, "").level = (
                    member.level if isinstance(member, Section) else None
                )

    def _place_leaves(self) -> None:
        """Put each leaf into the innermost section that holds all operations that take it."""
        takers: dict[Leaf | Constant, list[Step]] = {}
        roles: dict[Leaf | Constant, str] = {}
        places: dict[Section, list[Leaf | Constant]] = {}
        for step in reversed(self.explanation.steps):
            for given in step.inputs:
                if not isinstance(given.source, Step):
                    takers.setdefault(given.source, []).append(step)
                    roles.setdefault(given.source, given.name)
        for source, steps in takers.items():
            common = self._paths[steps[0]]
            for step in steps[1:]:
                common = common[: _alike(common, self._paths[step])]
            if common and isinstance(common[-1][1], Rest):
                continue  # all that take it are not drawn
            common = [stop for stop in common if isinstance(stop[1], Section)]
            # The arguments of a module stand outside of it.
            tensor = source.tensor if isinstance(source, Leaf) else source
            for i, (_, inner) in enumerate(common):
                if isinstance(inner, Section) and inner.call and any(g is tensor for g in inner.call.given):
                    common = common[:i]
                    break
            section = common[-1][1] if common else self.whole
            assert isinstance(section, Section)
            places.setdefault(section, []).append(source)
        for section, sources in places.items():
            shown = sources if len(sources) <= MOST else sources[: MOST // 4]
            for source in shown:
                if isinstance(source, Leaf):
                    face = leaf_face(source)
                else:
                    name = self.names.get(id(source.variable()), "")
                    face = constant_face(source, name, roles[source])
                self._paths[source] = [*section.path, (section, source)]
                self._add(section, source, face, "source")
            if len(shown) < len(sources):
                rest = Rest(leaves=len(sources) - len(shown))
                self._add(section, rest, leaves_face(rest.leaves), "source")
                path = [*section.path, (section, rest)]
                self._paths.update((source, path) for source in sources[len(shown) :])

    def _add(self, section: Section, thing: object, face: Face, where: str) -> Box:
        box = self._boxes[thing] = Box(f"B{len(self._boxes)}", where=where)
        self.faces[box] = face
        section.level.boxes.append(box)
        return box

    def _connect(self, source: Step | Leaf | Constant, taker: Step, position: int) -> None:
        """Lead a value from where it is made to where it is taken, through every frame between."""
        here, there = self._paths.get(source), self._paths[taker]
        if here is None:
            return
        meet = _alike(here, there)
        if meet == len(here) or meet == len(there):
            return  # neither is drawn
        value = here[-1][1]  # itself, or the box of the rest
        outward = [self._end("bottom", section, value) for section, _ in here[meet + 1 :]]  # the outer first
        inward = [self._end("top", section, value) for section, _ in there[meet + 1 :]]
        outer, inner = [*outward, None], [*inward, None]
        self._join(there[meet][0], here[meet][1], there[meet][1], outer[0], inner[0], value, position)
        for i, (section, member) in enumerate(here[meet + 1 :]):
            self._join(section, member, outward[i], outer[i + 1], None, value, position)
        for i, (section, member) in enumerate(there[meet + 1 :]):
            self._join(section, inward[i], member, None, inner[i + 1], value, position)

    def _end(self, where: str, section: Section, value: object) -> Box:
        end = self._ends.get((where, section, value))
        if end is None:
            end = self._ends[where, section, value] = Box(f"E{len(self._ends)}", width=10.0, where=where)
            section.level.boxes.append(end)
        return end

    def _join(
        self, section: Section, source: object, target: object, leaving: Box | None, entering: Box | None,
        value: object, position: int,
    ) -> None:  # fmt: skip
        """Draw an edge, unless the same value goes the same way already."""
        place = position if isinstance(target, Step) and not isinstance(value, Rest) else None
        key = (section, source, target, value, place)
        if key not in self._edges:
            from_box = source if isinstance(source, Box) else self._boxes[source]
            to_box = target if isinstance(target, Box) else self._boxes[target]
            edge = self._edges[key] = Edge(f"e{len(self._edges)}", from_box, to_box, leaving, entering)
            section.level.edges.append(edge)

    def drawn(self) -> Iterator[Section]:
        """Yield the sections that the picture holds, the inner ones first."""
        held = [self.whole]
        for section in held:
            held += [member for member in section.members if isinstance(member, Section)]
        yield from reversed(held)

    def box_of(self, section: Section) -> Box:
        """Return the box of a module."""
        return self._boxes[section]


def _alike(a: list[tuple[Section, object]], b: list[tuple[Section, object]]) -> int:
    """Count the stops that two paths share."""
    count = 0
    for (_, mine), (_, theirs) in zip(a, b, strict=False):
        if mine is not theirs:
            break
        count += 1
    return count


def _order(box: Box) -> int:
    return {"top": 0, "source": 1, "": 2, "bottom": 3}[box.where]
