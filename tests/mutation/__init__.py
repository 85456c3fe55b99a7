"""`make mutants`: the code is changed in small ways, and the tests must notice each."""
