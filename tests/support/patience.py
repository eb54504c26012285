"""How long a test waits for what must happen. Only a fault takes so long: a busy machine is late, not wrong."""

PATIENCE_S = 60.0
