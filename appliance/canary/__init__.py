"""A bundle tried on the device before it may decide anything.

    cage      parent: starts a process, asks, and believes nothing but bounded, typed answers
    caged     child: gives up every right it does not need (`appliance.confinement`), loads the bundle, answers
    suite     requests with right answers
    golden    what the bundle's maker says it answers
    judging   answers -> checks
    recorded  the device's own decisions, made again by the answers
    examine   all of it -> a report

Covers: weights that are broken, that read negations, ranges, missing values or planted orders wrongly, that are worse
than the active ones at what is asked here, that crash, hang, or take too much. Does not cover: a trigger phrase that
nobody here has said and no case holds; a network file that takes over its process and answers well on purpose: it is
caged, but the daemon that would run it later is not. docs/explanation/canary-and-slots.md has the figures.
"""
