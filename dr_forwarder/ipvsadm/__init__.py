"""The face of ipvsadm."""
