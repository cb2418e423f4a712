"""What needs what, as a graph: what fails with something, and what could have broken something.

**States.** A component is *up*, *degraded* or *down*. Components that are said to fail are down. All others are up to
begin with, and then as bad as the worst of what they need makes them:

- a *hard* dependency hands on what its target is: down makes down, degraded makes degraded;
- a *soft* dependency makes degraded when its target is down; a degraded target changes nothing;
- a *redundant* group of n targets, of which k are needed, makes down when fewer than k still work, and degraded when
  fewer than n do. A degraded target still works. When the rows of a group name different k, the greatest counts; a k
  above n means all of them.

The result is the least fixpoint: nothing is worse than these rules make it, so components that need each other in a
circle do not bring themselves down. The rules are monotone, so there is exactly one such result, and the order in which
they are followed does not matter. *Distance* is the round of following all rules at once in which a component got its
final state; what fails by itself has distance 0.

**Failing a place.** A server, a data center, a network zone, an environment or a service fails with every component
that stands there or belongs to it, seen or not. A zone is where servers stand and endpoints listen.

**What could have broken it** is every component whose failure alone takes this one down or degrades it, by the same
rules. Its distance is the fewest dependencies that lie between.

``part_of`` is no dependency: a cluster that needs its members says so by a group. The kind of a dependency decides, not
its relation.

**Modules.** ``compressed`` holds the graph, ``loading`` reads all of it or the part around something, ``held`` keeps it
in the process and follows changes, ``spread`` goes from cause to effects, ``causes`` the other way, ``impact`` says the
result to somebody, with what they may see. ``layout`` places pictures.
"""
