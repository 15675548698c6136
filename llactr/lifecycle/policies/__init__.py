"""What a policy of retraining would have been worth: a walk through a data set's time with the models of each."""
