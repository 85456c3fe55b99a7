"""`make mutants`: changes the code in small ways, each of which the tests must notice."""
