"""What the processes of a run tell each other besides gradients.

That they are there, where they are, and that they are about to do the same. It goes through the
launcher's store, so it works before there is a process group, and when a process has gone.
"""
