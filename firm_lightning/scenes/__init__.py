"""The embedded world: scene graph -> picture, prompt, edit, exact scores; pixels -> scene graph."""
