"""The three themes. All text has a contrast of at least 4.5:1 against its background; a test measures rendered cells.

The style sheets use named colours only, never Textual's half-transparent "muted" shades.
"""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="edgemed-dark",
    primary="#7fb8e6",
    secondary="#8fc9b8",
    accent="#e3bd7d",
    warning="#f2c14e",
    error="#ff9a90",
    success="#93d6a4",
    foreground="#d8e0e8",
    background="#10151b",
    surface="#161d25",
    panel="#1e2731",
    dark=True,
    text_alpha=1.0,
    variables={
        "quiet": "#93a3b3",
        "line": "#33414f",
        "menu-cursor": "#2a3846",
        "notice-ground": "#4a3300",
        "notice-text": "#ffd98a",
        "question": "#a9cdf0",
        "expert-disk": "#1b232c",
        "expert-memory": "#41607f",
        "expert-hit": "#e8f4ff",
        "expert-missed": "#ff9442",
        "input-selection-background": "#2f5579",
        "screen-selection-background": "#2f5579",
        "screen-selection-foreground": "#ffffff",
        "block-cursor-background": "#7fb8e6",
        "block-cursor-foreground": "#10151b",
    },
)

LIGHT = Theme(
    name="edgemed-light",
    primary="#1b5483",
    secondary="#1f6155",
    accent="#6d4300",
    warning="#704200",
    error="#9c1f19",
    success="#1a6335",
    foreground="#1c242e",
    background="#fbfaf7",
    surface="#f3f1eb",
    panel="#e8e5dd",
    dark=False,
    text_alpha=1.0,
    variables={
        "quiet": "#55606c",
        "line": "#bdb8ac",
        "menu-cursor": "#dfdbd1",
        "notice-ground": "#ffe2a0",
        "notice-text": "#4a2e00",
        "question": "#1b4a75",
        "expert-disk": "#e6e2d8",
        "expert-memory": "#a3bbd2",
        "expert-hit": "#0a3a6b",
        "expert-missed": "#c24e00",
        "input-selection-background": "#bcd6ee",
        "screen-selection-background": "#bcd6ee",
        "screen-selection-foreground": "#000000",
        "block-cursor-background": "#1b5483",
        "block-cursor-foreground": "#ffffff",
    },
)

CONTRAST = Theme(
    name="edgemed-contrast",
    primary="#ffffff",
    secondary="#ffffff",
    accent="#ffff00",
    warning="#ffff00",
    error="#ffb3ad",
    success="#a8ffb8",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    dark=True,
    text_alpha=1.0,
    variables={
        "quiet": "#e0e0e0",
        "line": "#ffffff",
        "menu-cursor": "#606060",
        "notice-ground": "#ffff00",
        "notice-text": "#000000",
        "question": "#80e8ff",
        "expert-disk": "#262626",
        "expert-memory": "#7a7a7a",
        "expert-hit": "#ffffff",
        "expert-missed": "#ffa500",
        "input-selection-background": "#0040c0",
        "screen-selection-background": "#0040c0",
        "screen-selection-foreground": "#ffffff",
        "block-cursor-background": "#ffff00",
        "block-cursor-foreground": "#000000",
    },
)

THEMES = (DARK, LIGHT, CONTRAST)
