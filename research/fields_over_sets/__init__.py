"""Can a field's meaning act: gates and pair weights of a new data set, guessed from field vectors by a map that other
sets taught."""
