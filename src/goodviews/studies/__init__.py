"""Studies join all the rooms: choose views, train one run, evaluate it."""
