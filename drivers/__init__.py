if __name__ == "drivers":
    raise ImportError("this folder is the package asynctensor.drivers: import it by that name")
