if __name__ == "kvstores":
    raise ImportError("this folder is the package asynctensor.kvstores: import it by that name")
